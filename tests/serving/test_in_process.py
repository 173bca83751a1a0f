"""The turn in process is the served turn: the same events from the same request, and the same again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.in_process import in_process
from benchmarks.subjects import Subject
from stream_omni.answer import Event
from stream_omni.assets import Assets
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.errors import InvalidRequestError, OverloadedError
from stream_omni.turn import InProcess
from tests.serving.raw_client import ask, picture, tone

SHORT = {"max_tokens": 12, "max_audio_ms": 2000}
TURNS: list[dict[str, Any]] = [
    {"text": "What is this?", **SHORT},
    {"text": "What is this?", "output": "speech", "temperature": 0.8, "seed": 7, **SHORT},
    {"audio": tone(), "image": [picture()], "output": "speech", **SHORT},
    {"audio": tone(), "task": "transcribe"},
    {"text": "Read me", "task": "speak", "voice": "default", **SHORT},
]


@pytest.fixture(scope="module")
def turns(built_directory: Path) -> Iterator[InProcess]:
    """Set up as the server is, by its profile."""
    with in_process(Subject(built_directory, built_directory)) as made:
        yield made


def arrays(inputs: dict[str, Any]) -> dict[str, Any]:
    """The request's tensors as the stage gets them from Triton."""
    return {name: value if isinstance(value, np.ndarray) else _array(name, value) for name, value in inputs.items()}


def _array(name: str, value: Any) -> Any:
    if isinstance(value, str | list):
        parts = value if isinstance(value, list) else [value]
        return np.array([part.encode() if isinstance(part, str) else part for part in parts], object)
    return np.array([value], {"temperature": np.float32, "seed": np.uint64}.get(name, np.int32))


def said(events: list[Event]) -> list[tuple[Any, ...]]:
    """Without the times, and with text joined: how it is cut follows from when the parts came."""
    spoken = [(e.samples.tobytes(), e.sample_rate_hz, e.start_ms, e.marks, e.units.tolist()) for e in events]
    joined = tuple("".join(e.delta for e in events if e.kind == kind) for kind in ("transcript", "text"))
    return [joined, *(piece for piece, event in zip(spoken, events, strict=True) if event.kind == "audio")]


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: "-".join(turn))
def test_it_says_what_the_server_says_every_time(url: str, turns: InProcess, turn: dict[str, Any]) -> None:
    here = said(list(turns.answer(arrays(turn))))
    assert said(list(turns.answer(arrays(turn)))) == here
    served = ask(url, **turn)
    assert here == [
        (served.joined("transcript"), served.joined("text")),
        *(
            (r["samples"].tobytes(), r["sample_rate"], r["start_ms"], r["marks"], r["units"].tolist())
            for r in served.of("audio")
        ),
    ]


def test_events_are_numbered_and_end_with_done(turns: InProcess) -> None:
    events = list(turns.answer(arrays(TURNS[2])))
    assert [event.seq for event in events] == list(range(len(events)))
    assert [event.kind for event in events].count("done") == 1
    assert events[-1].kind == "done"


def test_a_bad_request_is_refused_as_by_the_server(turns: InProcess) -> None:
    with pytest.raises(InvalidRequestError, match="neither text nor audio"):
        list(turns.answer({}))


def test_turns_at_once_say_what_each_says_alone(built_directory: Path) -> None:
    spoken = [arrays({"text": f"Turn {i}", "output": "speech", "seed": i, **SHORT}) for i in range(3)]
    with InProcess(OnnxRuntime(built_directory), Assets.load(built_directory), slots=3) as several:
        alone = [said(list(several.answer(inputs))) for inputs in spoken]
        found: dict[int, Any] = {}

        def run(number: int) -> None:
            found[number] = said(list(several.answer(spoken[number])))

        threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[i] for i in range(3)] == alone


def test_a_turn_that_is_left_gives_its_slot_back(turns: InProcess) -> None:
    endless = {"text": "Tell me everything", "output": "speech", "max_audio_ms": 60_000}
    leaving = turns.answer(arrays(endless))
    next(leaving)
    leaving.close()
    for _ in range(100):
        try:
            assert list(turns.answer(arrays(TURNS[1])))[-1].kind == "done"
            return
        except OverloadedError:
            continue
    pytest.fail("the slot stayed taken")
