"""A turn that the server certainly did not begin is asked again; no other is, and never for ever."""

from __future__ import annotations

import secrets
import socket
import threading
import time

import pytest
from stream_omni_client import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerError,
    StreamOmni,
    StreamOmniError,
)
from stream_omni_client.retry import pause_before_retry_s

from stream_omni.serving.launcher import TritonServer
from tests.client.conftest import PROTOCOL_MODEL, probe


def busy(times: int, hint_ms: int) -> str:
    """A question that is refused so many times."""
    return f"busy {times} {hint_ms} {secrets.token_hex(4)}"


def test_a_refused_turn_is_asked_again_after_the_server_s_hint(client: StreamOmni) -> None:
    began = time.monotonic()
    reply = client.chat(busy(2, 200))
    assert reply.text == "Grüße, 世界"
    assert 0.4 <= time.monotonic() - began < 2
    assert (reply.client_timings.total_ms or 0) >= 400  # by the clock of who waits, tries included


@pytest.mark.parametrize(("retries", "tries"), [(2, 3), (0, 1)])
def test_the_number_of_retries_is_bounded(protocol_url: str, twin: type[StreamOmni], retries: int, tries: int) -> None:
    with twin(protocol_url, max_retries=retries) as client, pytest.raises(Overloaded, match=f"refused {tries} times"):
        client.chat(busy(9, 1))


@pytest.mark.parametrize(("hint_ms", "timeout_s", "patience_s"), [(60_000, None, 60), (2000, 1.0, 60), (2000, None, 1)])
def test_no_hint_is_waited_for_that_leads_nowhere(
    protocol_url: str, twin: type[StreamOmni], hint_ms: int, timeout_s: float | None, patience_s: float
) -> None:
    with twin(protocol_url, first_event_timeout_s=patience_s) as client:
        began = time.monotonic()
        with pytest.raises(Overloaded, match="refused 1 times") as caught:
            client.chat(busy(9, hint_ms), timeout_s=timeout_s)
        assert time.monotonic() - began < 1
        assert caught.value.retry_after == hint_ms / 1000


def test_what_has_begun_is_not_asked_again(client: StreamOmni) -> None:
    question = f"late {secrets.token_hex(4)}"
    for number in ("1", "2"):
        with client.stream(question) as stream:
            assert next(stream).seq == 0
            assert stream.reply.text == number
            with pytest.raises(Overloaded, match="too late"):
                next(stream)


def test_closing_ends_the_pause_before_a_retry(client: StreamOmni) -> None:
    with client.stream(busy(9, 3000)) as stream:
        threading.Timer(0.3, stream.close).start()
        began = time.monotonic()
        with pytest.raises(Cancelled) as caught:
            next(stream)
        assert time.monotonic() - began < 2
        assert caught.value.request_id == stream.request_id


def test_who_probes_does_not_try_again(twin: type[StreamOmni]) -> None:
    with twin("127.0.0.1:1", max_retries=50) as client:
        began = time.monotonic()
        assert not client.ready()
        assert time.monotonic() - began < 1


def test_a_server_that_is_just_starting_is_waited_for(twin: type[StreamOmni]) -> None:
    with TritonServerLater() as server, twin(server.grpc_url, max_retries=7) as client:
        threading.Timer(0.5, server.begin.set).start()
        assert client.chat("hello").text


def test_one_of_several_servers_may_die(protocol_url: str, own_server: TritonServer, twin: type[StreamOmni]) -> None:
    with twin(f"ipv4:{protocol_url},{own_server.grpc_url}") as client:
        for _ in range(4):
            assert client.chat("hello").text
        own_server.stop(0)
        for _ in range(8):
            assert client.chat("hello").text


def test_who_accepts_and_says_nothing_holds_nobody(twin: type[StreamOmni]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"127.0.0.1:{mute.getsockname()[1]}"
        with twin(url, first_event_timeout_s=1) as client:
            began = time.monotonic()
            with pytest.raises((ConnectionFailed, DeadlineExceeded)):
                client.chat("hello")
            assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("error", "tries", "least_s"),
    [
        (Overloaded("full", retry_after=1.5), 1, 1.5),
        (Overloaded("draining", retry_after=1.5), 3, 1.5),
        (Overloaded("no hint"), 1, 0.25),
        (Overloaded("no hint"), 3, 1.0),
        (Overloaded("far too long", retry_after=10.5), 1, None),
        (ConnectionFailed("nobody listens", reason="UNREACHABLE"), 2, 0.5),
        (ConnectionFailed("Request for unknown model", reason="NOT_FOUND"), 1, 0.25),
        (ConnectionFailed("Socket closed", reason="UNAVAILABLE"), 1, None),
        (DeadlineExceeded("slow"), 1, None),
        (ServerError("broken"), 1, None),
        (InvalidRequest("wrong"), 1, None),
    ],
    ids=str,
)
def test_what_is_safe_and_how_long_to_wait(error: StreamOmniError, tries: int, least_s: float | None) -> None:
    pauses = {pause_before_retry_s(error, tries) for _ in range(50)}
    if least_s is None:
        assert pauses == {None}
    else:
        assert len(pauses) == 50  # clients that were refused together come back apart
        assert all(pause_s is not None and least_s <= pause_s <= 1.5 * least_s for pause_s in pauses)


class TritonServerLater:
    """A server whose port is known before it runs; it starts in a thread of its own once ``begin`` is set."""

    def __init__(self) -> None:
        self.begin = threading.Event()
        self._server = TritonServer(PROTOCOL_MODEL, probe=probe, drain_timeout_s=1)
        self.grpc_url = self._server.grpc_url
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.begin.wait()
        with self._server:
            self._end.wait()

    def __enter__(self) -> TritonServerLater:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.begin.set()
        self._end.set()
        self._thread.join()
