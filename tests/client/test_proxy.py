"""Through a real Envoy: the same turns, cancelled and failing in the same ways."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stream_omni_client import ConnectionFailed, Overloaded, ServerError, StreamOmni, TextDelta

from stream_omni.serving.launcher import TritonServer
from tests.client.envoy_process import Envoy, envoy
from tests.client.test_failures import cancelled_turns, wait_for_cancelled_turns


@pytest.fixture(scope="module")
def proxy(protocol_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    with envoy(tmp_path_factory.mktemp("envoy"), protocol_url) as running:
        yield running


@pytest.fixture
def proxied(proxy: Envoy, twin: type[StreamOmni]) -> Iterator[StreamOmni]:
    with twin(proxy.url, first_event_timeout_s=5, idle_timeout_s=5) as client:
        yield client


def test_a_turn_is_the_same(proxied: StreamOmni, client: StreamOmni) -> None:
    through, direct = (each.chat("hello", output="speech") for each in (proxied, client))
    assert through.text == direct.text
    assert through.audio is not None and direct.audio is not None
    np.testing.assert_array_equal(through.audio.samples, direct.audio.samples)
    assert proxied.ready()
    assert proxied.voices() == client.voices()


def test_events_come_as_they_are_made_and_leaving_frees_the_server(proxied: StreamOmni, proxy: Envoy) -> None:
    before = cancelled_turns(proxied)
    with proxied.stream("endless") as stream:
        assert isinstance(next(stream), TextDelta)
        assert proxy.gauge("cluster.servers.upstream_rq_active") == 1
    wait_for_cancelled_turns(proxied, before + 1)
    deadline = time.monotonic() + 3
    while proxy.gauge("cluster.servers.upstream_rq_active"):
        assert time.monotonic() < deadline, "Envoy holds the turn still"
        time.sleep(0.02)


def test_a_refusal_keeps_its_reason(proxied: StreamOmni) -> None:
    with pytest.raises(Overloaded, match=r"All 8 slots are taken\.") as caught:
        proxied.chat("refuse UNAVAILABLE OVERLOADED retry_after_ms=20500: All 8 slots are taken.")
    assert caught.value.retry_after == 20.5


def test_a_server_killed_behind_it_ends_the_turn_and_another_one_takes_the_next(
    protocol_url: str, own_server: TritonServer, twin: type[StreamOmni], tmp_path: Path
) -> None:
    assert own_server.process is not None
    with envoy(tmp_path, own_server.grpc_url, protocol_url) as proxy, twin(proxy.url, idle_timeout_s=5) as client:
        streams = [client.stream("endless") for _ in range(2)]  # one on each server
        for stream in streams:
            next(stream)
        os.kill(own_server.process.pid, signal.SIGKILL)
        began, ended = time.monotonic(), 0
        for stream in streams:
            try:
                for _ in range(100):  # 2 s of an answer that goes on
                    next(stream)
            except (ConnectionFailed, ServerError):
                ended += 1
        assert ended == 1
        assert time.monotonic() - began < 5
        for stream in streams:
            stream.close()
        assert [client.chat("hello").text for _ in range(4)] == ["Grüße, 世界"] * 4


def test_an_envoy_that_dies_ends_the_turn(protocol_url: str, twin: type[StreamOmni], tmp_path: Path) -> None:
    with (
        envoy(tmp_path, protocol_url) as proxy,
        twin(proxy.url, idle_timeout_s=5) as client,
        client.stream("endless") as stream,
    ):
        next(stream)
        proxy.process.kill()
        began = time.monotonic()
        with pytest.raises(ConnectionFailed):
            list(stream)
        assert time.monotonic() - began < 3
