"""Which call goes next, which go together, and that a fault stays with the call that has it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from stream_omni.serving.metrics import BATCH_SIZE, NONFINITE, STAGE_QUEUE_SECONDS, STAGE_SECONDS
from stream_omni.serving.stage_queue import Arrays, Stage, StageQueue
from tests.serving.notebook import Notebook, key


class Held:
    """A stage that works on one batch each time it is let; calls are (name, shape, rank)."""

    def __init__(self, largest_batch: int) -> None:
        self.batches: list[list[str]] = []
        self.began = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.notes = Notebook()
        self.stage = Stage("vocoder", self._run, lambda c: int(c["shape"]), lambda c: int(c["rank"]), largest_batch)

    def _run(self, calls: Sequence[Arrays]) -> list[Arrays]:
        self.batches.append([str(call["name"]) for call in calls])
        self.began.release()
        self.let.acquire()
        for call in calls:
            if str(call["name"]) == "bad":
                raise RuntimeError("/a/path")
        return [{"y": np.full(1, np.nan if str(call["name"]) == "nan" else 1.0)} for call in calls]


def call(name: str, shape: int = 0, rank: int = 0) -> Arrays:
    return {"name": np.array(name), "shape": np.array(shape), "rank": np.array(rank)}


@contextmanager
def busy(held: Held) -> Iterator[tuple[StageQueue, queue.SimpleQueue[Any]]]:
    """The stage works on a call named "first"; at the end it is let work until all is answered."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stage = StageQueue(held.stage, held.notes)
    stage.submit(call("first"), answers.put)
    held.began.acquire()
    yield stage, answers
    for _ in range(20):
        held.let.release()
    stage.close()


def test_urgent_calls_pass_those_that_wait_and_equals_keep_their_order() -> None:
    held = Held(largest_batch=1)
    with busy(held) as (stage, answers):
        for name, rank in (("later 1", 1), ("later 2", 1), ("urgent 1", 0), ("later 3", 1), ("urgent 2", 0)):
            stage.submit(call(name, rank=rank), answers.put)
    assert held.batches == [[name] for name in ("first", "urgent 1", "urgent 2", "later 1", "later 2", "later 3")]


def test_one_that_comes_while_another_runs_waits_for_that_one_only() -> None:
    held = Held(largest_batch=1)
    with busy(held) as (stage, answers):
        for number in range(5):
            stage.submit(call(f"later {number}", rank=1), answers.put)
        held.let.release()
        held.began.acquire()
        stage.submit(call("urgent"), answers.put)
    assert [names[0] for names in held.batches[:3]] == ["first", "later 0", "urgent"]


def test_calls_of_one_shape_go_together_up_to_the_limit() -> None:
    held = Held(largest_batch=2)
    with busy(held) as (stage, answers):
        for name, shape, rank in (("a", 1, 1), ("b", 2, 1), ("c", 1, 1), ("d", 2, 0), ("e", 1, 1)):
            stage.submit(call(name, shape, rank), answers.put)
    assert held.batches == [["first"], ["d", "b"], ["a", "c"], ["e"]]
    assert answers.qsize() == 6
    notes = held.notes.observed
    assert notes[key(BATCH_SIZE, stage="vocoder")] == [1, 2, 2, 1]
    assert len(notes[key(STAGE_SECONDS, stage="vocoder")]) == 4
    assert len(notes[key(STAGE_QUEUE_SECONDS, stage="vocoder")]) == 6


@pytest.mark.parametrize(("name", "error"), [("bad", RuntimeError), ("nan", FloatingPointError)])
def test_a_fault_stays_with_its_call(name: str, error: type[Exception]) -> None:
    held = Held(largest_batch=4)
    found: dict[str, Any] = {}
    with busy(held) as (stage, _):
        for each in ("one", name, "two"):
            stage.submit(call(each, shape=1), lambda answer, each=each: found.update({each: answer}))  # type: ignore[misc]
    assert isinstance(found[name], error)
    assert found["one"]["y"] == found["two"]["y"] == 1
    assert held.notes.counted == ({key(NONFINITE, stage="vocoder"): 1} if name == "nan" else {})


def test_what_waits_at_the_end_is_answered() -> None:
    held = Held(largest_batch=1)
    with busy(held) as (stage, answers):
        for number in range(3):
            stage.submit(call(str(number)), answers.put)
    assert answers.qsize() == 4
