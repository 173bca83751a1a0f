"""What waits for a stage whose calls are independent: which goes next, and which go together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_omni.runtime.session import Array
from stream_omni.serving.metrics import BATCH_SIZE, NONFINITE, STAGE_QUEUE_SECONDS, STAGE_SECONDS, Recorder
from stream_omni.serving.spans import Span, reason_of

log = logging.getLogger(__name__)

Arrays = Mapping[str, Array]
Answer = Callable[[Arrays | Exception], None]


@dataclass(frozen=True)
class Stage:
    """``run`` makes the outputs of each of several inputs. Inputs of equal ``shape`` may run together, at most
    ``largest_batch`` of them; those of lower ``rank`` go first, of equal rank in the order in which they came."""

    name: str
    run: Callable[[Sequence[Arrays]], Sequence[Arrays]]
    shape: Callable[[Arrays], Hashable]
    rank: Callable[[Arrays], Any]
    largest_batch: int

    @classmethod
    def of_single(cls, name: str, work: Callable[[Arrays], Arrays]) -> Stage:
        """One call at a time, in order."""
        return cls(name, lambda calls: [work(inputs) for inputs in calls], lambda _: None, lambda _: 0, 1)


@dataclass(frozen=True, eq=False)
class _Job:
    inputs: Arrays
    answer: Answer
    shape: Hashable
    rank: Any
    span: Span | None
    came_s: float = field(default_factory=time.monotonic)


class StageQueue:
    """One thread works; whatever comes meanwhile waits here, so that the most urgent call waits for one batch at most.

    Nothing is kept back to make a batch larger: on a free stage that would only be a delay.
    """

    def __init__(self, stage: Stage, recorder: Recorder) -> None:
        self._stage, self._recorder = stage, recorder
        self._jobs: list[_Job] = []  # in order of arrival
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True, name=stage.name)
        self._thread.start()

    def submit(self, inputs: Arrays, answer: Answer, span: Span | None = None) -> None:
        """``answer`` gets the outputs or the error, on the stage's thread; ``span`` ends before. Raises what ``shape``
        or ``rank`` raise."""
        job = _Job(inputs, answer, self._stage.shape(inputs), self._stage.rank(inputs), span)
        with self._news:
            self._jobs.append(job)
            self._news.notify()

    def close(self) -> None:
        """After what waits has been answered."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()

    def _serve(self) -> None:
        while jobs := self._next_batch():
            began_s = time.monotonic()
            for job in jobs:
                self._recorder.observe(STAGE_QUEUE_SECONDS, began_s - job.came_s, stage=self._stage.name)
                if job.span:
                    job.span.happen("begin")
            for job, found in zip(jobs, self._run(jobs), strict=True):
                if job.span:
                    job.span.know(batch_size=len(jobs))
                    job.span.end(reason_of(found) if isinstance(found, Exception) else None)
                job.answer(found)

    def _next_batch(self) -> list[_Job]:
        """Empty at the end."""
        with self._news:
            while not (self._jobs or self._closed):
                self._news.wait()
            waiting = sorted(self._jobs, key=lambda job: job.rank)
            batch = [job for job in waiting if job.shape == waiting[0].shape][: self._stage.largest_batch]
            self._jobs = [job for job in self._jobs if job not in batch]
            return batch

    def _run(self, jobs: Sequence[_Job]) -> Sequence[Arrays | Exception]:
        """What fails together is tried alone: a fault is kept to the call that has it."""
        began_s = time.monotonic()
        try:
            found = self._stage.run([job.inputs for job in jobs])
            for outputs in found:
                _check_finite(outputs)
        except Exception as error:
            if len(jobs) > 1:
                return [self._run([job])[0] for job in jobs]
            if isinstance(error, FloatingPointError):
                self._recorder.add(NONFINITE, stage=self._stage.name)
            return [error]
        self._recorder.observe(BATCH_SIZE, len(jobs), stage=self._stage.name)
        self._recorder.observe(STAGE_SECONDS, time.monotonic() - began_s, stage=self._stage.name)
        return found


def _check_finite(outputs: Arrays) -> None:
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FloatingPointError(f"{name} holds numbers that are not finite")
