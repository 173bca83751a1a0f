"""More turns than places: refused or kept waiting, in order and for a bounded time; and every end frees its place."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import (
    CANCEL_RELEASE_SECONDS,
    KV_SLOTS,
    REJECTED,
    REQUESTS,
    STREAMS_ACTIVE,
    STREAMS_CAPACITY,
    STREAMS_WAITING,
    Metric,
)
from tests.serving.killing import kill_between_calls
from tests.serving.raw_client import Answered, Stream, ask, picture, tensors, tone
from tests.serving.scrape import Scrape, seconds_until
from tests.serving.variants import served_with

PLACES, CHAIRS, WAIT_S, TURN_S = 2, 3, 2.0, 6.0  # long beside what a busy machine may add
SHORT: dict[str, Any] = {"text": "hi", "output": "speech", "max_audio_ms": 200, "max_tokens": 4}
ENDLESS: dict[str, Any] = {"text": "again", "task": "speak", "max_audio_ms": 163_000}  # its speech never ends by itself
ONE_SECOND = 1.0  # in which everything that a turn held must be free


@pytest.fixture(scope="module")
def narrow(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("narrow")
    values = {"slots": PLACES, "waiting": CHAIRS, "wait_s": WAIT_S, "turn_timeout_s": TURN_S}
    with served_with(built_directory, folder, **values) as running:
        yield running


@pytest.fixture(autouse=True)
def idle(narrow: TritonServer) -> Iterator[None]:
    """Every test begins and ends with nothing in use."""
    seconds_until(narrow.metrics_url, lambda now: now.in_use == 0, 5)
    yield
    seconds_until(narrow.metrics_url, lambda now: now.in_use == 0, 5)


def until_waiting(server: TritonServer, count: int) -> None:
    seconds_until(server.metrics_url, lambda now: now(STREAMS_WAITING) == count, 1)


def occupy(server: TritonServer, count: int = PLACES) -> list[Stream]:
    streams = [Stream(server.grpc_url, ENDLESS) for _ in range(count)]
    for stream in streams:
        assert not isinstance(stream.next(), str)
    return streams


def grown(before: Scrape, server: TritonServer, metric: Metric, part: str = "", **labels: str) -> float:
    return Scrape(server.metrics_url).total(metric, part, **labels) - before.total(metric, part, **labels)


def test_who_finds_no_chair_is_refused_at_once(narrow: TritonServer) -> None:
    before = Scrape(narrow.metrics_url)
    running = occupy(narrow)
    waiting = [Stream(narrow.grpc_url, SHORT) for _ in range(CHAIRS)]
    until_waiting(narrow, CHAIRS)
    began_s = time.monotonic()
    refused = ask(narrow.grpc_url, **SHORT)
    assert time.monotonic() - began_s < 0.5
    hint = re.match(r"OVERLOADED retry_after_ms=(\d+): all 2 places are taken; come again later$", refused.error or "")
    assert hint is not None and 100 <= int(hint[1]) <= 60_000
    for stream in running:
        stream.close(cancel=True)
    assert [stream.finish().error for stream in waiting] == [None] * CHAIRS
    assert grown(before, narrow, REJECTED, reason="full") == grown(before, narrow, REJECTED) == 1


def test_places_go_to_those_who_wait_in_the_order_in_which_they_came(narrow: TritonServer) -> None:
    running = occupy(narrow)
    waiting: list[Stream] = []
    for count in range(1, CHAIRS + 1):
        waiting.append(Stream(narrow.grpc_url, ENDLESS))
        until_waiting(narrow, count)
    for stream in waiting:  # a place becomes free: only the first of them begins
        running.pop(0).close(cancel=True)
        assert not isinstance(stream.next(), str)
        left = waiting[waiting.index(stream) + 1 :]
        assert all(other._answers.empty() for other in left)
        assert Scrape(narrow.metrics_url)(STREAMS_WAITING) == len(left)
        running.append(stream)
    for stream in running:
        stream.close(cancel=True)


def test_waiting_in_vain_ends_with_a_hint(narrow: TritonServer) -> None:
    before = Scrape(narrow.metrics_url)
    running = occupy(narrow)
    began_s = time.monotonic()
    refused = ask(narrow.grpc_url, **SHORT)
    assert WAIT_S <= time.monotonic() - began_s < WAIT_S + 1
    pattern = rf"OVERLOADED retry_after_ms=\d+: no place became free within {WAIT_S:g} s; come again later$"
    assert re.match(pattern, refused.error or "") and not refused.responses
    assert grown(before, narrow, REJECTED, reason="waited") == 1
    for stream in running:
        stream.close(cancel=True)


def test_a_burst_is_served_as_far_as_there_is_room_and_the_rest_refused(narrow: TritonServer) -> None:
    """Every one ends; and afterwards the server answers as before."""
    alone = ask(narrow.grpc_url, **SHORT)
    with ThreadPoolExecutor(40) as threads:
        answers: list[Answered] = list(threads.map(lambda _: ask(narrow.grpc_url, **SHORT), range(40)))
    served = [answered for answered in answers if answered.error is None]
    assert len(served) >= PLACES
    for answered in answers:
        assert answered.error is None or answered.error.startswith("OVERLOADED retry_after_ms=")
    assert all(answered.samples.tobytes() == alone.samples.tobytes() for answered in served)
    assert ask(narrow.grpc_url, **SHORT).samples.tobytes() == alone.samples.tobytes()


def test_the_deadline_ends_a_turn_and_frees_it(narrow: TritonServer) -> None:
    before = Scrape(narrow.metrics_url)
    began_s = time.monotonic()
    late = [stream.finish() for stream in [Stream(narrow.grpc_url, ENDLESS) for _ in range(PLACES)]]
    for answered in late:
        assert answered.error == f"DEADLINE: the turn took more than {TURN_S:g} s; ask for a shorter answer"
        assert answered.of("audio")
    assert TURN_S <= time.monotonic() - began_s < TURN_S + 2
    assert seconds_until(narrow.metrics_url, lambda now: now.in_use == 0, 2) < ONE_SECOND
    assert grown(before, narrow, REQUESTS, outcome="deadline") == PLACES


def nothing(stream: Stream) -> None:
    """Leave before the first response."""


def first(kind: str, count: int = 1) -> Any:
    def until(stream: Stream) -> None:
        seen = 0
        while seen < count:
            response = stream.next()
            assert not isinstance(response, str) and response["event"] != "done", response
            seen += response["event"] == kind

    return until


TALE: dict[str, Any] = {"text": "Tell me a tale", "output": "speech", "max_audio_ms": 160_000}
PHASES: dict[str, tuple[dict[str, Any], Any]] = {
    "preparing": ({"audio": tone(20.0), "image": [picture((1500, 1000))] * 4, "output": "speech"}, nothing),
    "after the transcript": ({**TALE, "audio": tone(2.0), "text": None}, first("transcript")),
    "text only": ({"text": "Tell me a tale", "max_tokens": 4000, "temperature": 1.5}, first("text", 3)),
    "first text of speech": (TALE, first("text")),
    "first chunk": (TALE, first("audio")),
    "mid-speech": (TALE, first("audio", 3)),
    "after the last text": (ENDLESS, first("audio", 4)),  # all of its text comes at once
}


@pytest.mark.parametrize("way", ["cancel", "disconnect"])
@pytest.mark.parametrize("phase", PHASES)
def test_leaving_frees_everything_at_every_phase(narrow: TritonServer, phase: str, way: str) -> None:
    before = Scrape(narrow.metrics_url)
    inputs, until = PHASES[phase]
    stream = Stream(narrow.grpc_url, {name: value for name, value in inputs.items() if value is not None})
    until_active(narrow, stream)
    until(stream)
    leave(stream, way)
    check_left(narrow, before)


@pytest.mark.parametrize("way", ["cancel", "disconnect"])
def test_leaving_the_waiting_room_frees_the_chair(narrow: TritonServer, way: str) -> None:
    running = occupy(narrow)
    before = Scrape(narrow.metrics_url)
    stream = Stream(narrow.grpc_url, SHORT)
    until_waiting(narrow, 1)
    leave(stream, way)
    assert seconds_until(narrow.metrics_url, lambda now: now(STREAMS_WAITING) == 0, 2) < WAIT_S / 2
    for other in running:
        other.close(cancel=True)
    check_left(narrow, before, count=1 + PLACES)


def until_active(server: TritonServer, stream: Stream) -> None:
    """Fails with what ``stream`` said in the meantime."""
    try:
        seconds_until(server.metrics_url, lambda now: now(STREAMS_ACTIVE, stage="stream_omni") == 1, 5)
    except AssertionError as error:
        said = [stream.next() for _ in range(stream._answers.qsize())]
        error.add_note(
            "the stream said: " + ", ".join(str(one) if isinstance(one, str) else one["event"] for one in said)
        )
        raise


def leave(stream: Stream, way: str) -> None:
    stream.close(cancel=True) if way == "cancel" else stream.vanish()


def check_left(server: TritonServer, before: Scrape, count: int = 1) -> None:
    assert seconds_until(server.metrics_url, lambda now: now.in_use == 0, 2) < ONE_SECOND
    seconds_until(
        server.metrics_url,
        lambda now: now.total(REQUESTS, outcome="cancelled") == before.total(REQUESTS, outcome="cancelled") + count,
        1,
    )
    assert grown(before, server, REQUESTS) == count
    assert grown(before, server, CANCEL_RELEASE_SECONDS, "_count") == count
    assert grown(before, server, CANCEL_RELEASE_SECONDS, "_sum") < ONE_SECOND * count


def test_a_dead_stage_is_an_error_that_is_counted_and_frees_the_turn(narrow: TritonServer) -> None:
    """All but the last test of this server, whose vocoder stays dead."""
    before = Scrape(narrow.metrics_url)
    stream = Stream(narrow.grpc_url, ENDLESS)
    first("audio")(stream)
    kill_between_calls(narrow, "vocoder")
    began_s = time.monotonic()
    failed = stream.finish()
    assert re.match("INTERNAL: the stage (vocoder|token2wav) failed; send the turn again$", failed.error or "")
    assert time.monotonic() - began_s < 2
    assert seconds_until(narrow.metrics_url, lambda now: now.in_use == 0, 2) < ONE_SECOND
    assert grown(before, narrow, REQUESTS, outcome="error") == grown(before, narrow, REQUESTS) == 1


def test_a_dead_engine_holds_nothing_by_its_gauges(narrow: TritonServer) -> None:
    """Its process can no longer say so. All but the last test of this server, whose llm stays dead."""
    stream = Stream(narrow.grpc_url, {"text": "Tell me a tale", "max_tokens": 4000, "temperature": 1.5})
    first("text", 3)(stream)
    assert Scrape(narrow.metrics_url)(KV_SLOTS, stage="llm", state="used") == 1
    kill_between_calls(narrow, "llm")
    assert (stream.finish().error or "").startswith("INTERNAL: the stage llm failed")
    seconds_until(narrow.metrics_url, lambda now: gauges_of(now, "llm") == {0.0}, 2)
    assert gauges_of(Scrape(narrow.metrics_url), "speech_top") == {0.0, PLACES}


def test_a_door_that_never_called_a_stage_sees_that_it_is_dead(narrow: TritonServer) -> None:
    """Triton would keep the call for a second, or for ever. The last test of this server."""
    began_s = time.monotonic()
    with (
        triton.InferenceServerClient(narrow.grpc_url) as client,
        pytest.raises(triton.InferenceServerException) as told,
    ):
        client.infer("turn", tensors({"text": "hi"}))
    assert time.monotonic() - began_s < ONE_SECOND
    assert "INTERNAL: the stage llm failed; send the turn again" in str(told.value.message())


def gauges_of(scrape: Scrape, stage: str) -> set[float]:
    names = {metric.name for metric in (KV_SLOTS, STREAMS_ACTIVE, STREAMS_CAPACITY)}
    return {value for (name, labels), value in scrape.values.items() if name in names and ("stage", stage) in labels}
