"""Who leaves a turn asks the server to end it, and cancels the call only where that does not help."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from stream_omni_client import AsyncStreamOmni, StreamOmni
from stream_omni_client.grpc_channel import LEAVING_S, SERVER_HEADER, same_server

from stream_omni.serving.launcher import TritonServer
from tests.client.test_failures import cancelled_turns, wait_for_cancelled_turns


def departed_turns(client: StreamOmni) -> int:
    return int(client.chat("departed").text)


def wait_for_departed_turns(client: StreamOmni, count: int, within_s: float = LEAVING_S / 2) -> None:
    deadline_s = time.monotonic() + within_s
    while departed_turns(client) < count:
        assert time.monotonic() < deadline_s, "the server was not told by a message"
        time.sleep(0.02)


def test_a_turn_is_left_by_a_message(client: StreamOmni) -> None:
    before = departed_turns(client)
    with client.stream("endless") as stream:
        next(stream)
    wait_for_departed_turns(client, before + 1)


def test_also_before_its_first_event(client: StreamOmni) -> None:
    before = departed_turns(client)
    client.stream("silent").close()
    wait_for_departed_turns(client, before + 1)


def test_a_server_that_does_not_listen_gets_a_cancel(client: StreamOmni) -> None:
    before, departed = cancelled_turns(client), departed_turns(client)
    with client.stream("deaf") as stream:
        next(stream)
        left_s = time.monotonic()
    wait_for_cancelled_turns(client, before + 1)
    assert time.monotonic() - left_s >= LEAVING_S
    assert departed_turns(client) == departed


def test_a_client_that_is_closed_leaves_its_turns(protocol_url: str, twin: type[StreamOmni]) -> None:
    with twin(protocol_url) as other:
        before = departed_turns(other)
        with twin(protocol_url) as client:
            streams = [client.stream("endless") for _ in range(3)]
            for stream in streams:
                next(stream)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < LEAVING_S
        wait_for_departed_turns(other, before + 3)


def test_a_client_that_is_closed_hears_its_farewells_out(protocol_url: str, twin: type[StreamOmni]) -> None:
    """A message that is cut off is a cancel like any other; the turn itself is long over here."""
    with twin(protocol_url) as other:
        heard_out, cut_off = farewells(other)
        with twin(protocol_url) as client, client.stream("linger") as stream:
            next(stream)
        deadline_s = time.monotonic() + LEAVING_S
        while sum(farewells(other)) == heard_out + cut_off:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert farewells(other) == (heard_out + 1, cut_off)


def farewells(client: StreamOmni) -> tuple[int, int]:
    heard_out, cut_off = client.chat("farewells").text.split()
    return int(heard_out), int(cut_off)


def test_an_answer_that_nobody_fetches_does_not_keep_a_turn_from_ending(protocol_url: str) -> None:
    """More waits for the asynchronous client than it takes ahead."""

    async def run() -> int:
        async with AsyncStreamOmni(protocol_url) as client:
            before = int((await client.chat("departed")).text)
            stream = client.stream("endless")
            await anext(stream)
            await asyncio.sleep(0.5)
            await stream.close()
            await asyncio.sleep(LEAVING_S / 2)
            return int((await client.chat("departed")).text) - before

    assert asyncio.run(run()) == 1


def test_a_program_that_ends_has_left_before(protocol_url: str, client: StreamOmni) -> None:
    before = departed_turns(client)
    script = f"""
from stream_omni_client import StreamOmni
for event in StreamOmni({protocol_url!r}).stream("endless"):
    break
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    wait_for_departed_turns(client, before + 1)


def test_a_stream_that_is_held_to_the_end_does_not_keep_a_program_from_ending(protocol_url: str) -> None:
    script = f"""
from stream_omni_client import StreamOmni
stream = StreamOmni({protocol_url!r}).stream("endless")
stream.itself = [stream, next(stream)]  # so that it goes when the interpreter does
"""
    ended = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
    assert not ended.stderr


def test_a_dead_server_holds_up_no_farewell(own_server: TritonServer, twin: type[StreamOmni]) -> None:
    with twin(own_server.grpc_url) as client, client.stream("endless") as stream:
        next(stream)
        own_server.stop(grace_s=0)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 2 * LEAVING_S


def test_what_follows_goes_to_the_server_that_a_proxy_named() -> None:
    named = ((SERVER_HEADER, "MTAuMC4wLjE6ODAwMQ=="), ("x-envoy-upstream-service-time", "3"))
    assert same_server(named) == ((SERVER_HEADER, "MTAuMC4wLjE6ODAwMQ=="),)
    assert same_server(()) == ()
