"""Load: streams that ask one turn after the other, and arrivals at random times. Each stream is a thread here; the
server runs in processes of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from stream_omni_eval.turn_trace import TurnTrace

from benchmarks.askers import Asker
from benchmarks.questions import Ask


@dataclass(frozen=True)
class Closed:
    """Of a closed loop: ``streams`` have the counted turns of each."""

    streams: list[list[TurnTrace]]

    @property
    def turns(self) -> list[TurnTrace]:
        return [turn for turns in self.streams for turn in turns]

    @property
    def unit_rate_hz(self) -> float:
        """Speech units a second of all streams together, each over the time of its own counted turns."""
        return sum(sum(turn.units for turn in turns) / (turns[-1].ended_s - turns[0].began_s) for turns in self.streams)


def closed_loop(asker: Asker, ask: Ask, streams: int, turns: int, warm_up: int = 1) -> Closed:
    """``streams`` ask without pause. After ``warm_up`` turns each has ``turns`` counted, and goes on until all have
    theirs, so that every counted one ran in full company. Raises RuntimeError where a turn failed."""
    loop = _ClosedLoop(asker, ask, streams, turns, warm_up)
    _run_all([lambda number=number: loop.run(number) for number in range(streams)])  # type: ignore[misc]
    if loop.errors:
        raise RuntimeError(f"{len(loop.errors)} turns failed, first: {loop.errors[0]}")
    return Closed([traces[warm_up : warm_up + turns] for traces in loop.traces])


@dataclass
class _ClosedLoop:
    asker: Asker
    ask: Ask
    streams: int
    turns: int
    warm_up: int
    traces: list[list[TurnTrace]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.traces = [[] for _ in range(self.streams)]

    def run(self, number: int) -> None:
        mine = self.traces[number]
        while not self.errors and min(map(len, self.traces)) < self.warm_up + self.turns:
            trace = self.asker.ask(self.ask(number, len(mine)))
            if trace.error:
                self.errors.append(trace.error)
            mine.append(trace)


@dataclass(frozen=True)
class Opened:
    """Of an open loop: ``turns`` that were let in, measured from when they should have begun, and ``refused`` ones."""

    turns: list[TurnTrace]
    refused: int


def open_loop(asker: Asker, ask: Ask, rate_hz: float, duration_s: float, seed: int = 0) -> Opened:
    """Turns arrive at random times (Poisson), ``rate_hz`` a second, whatever has become of those before. ``asker`` must
    not be patient: a refused turn is one of the outcomes. Raises RuntimeError where a turn failed otherwise."""
    times_s = arrival_times(rate_hz, duration_s, seed)
    traces: list[TurnTrace | None] = [None] * len(times_s)
    began_s = time.monotonic()

    def run(number: int) -> None:
        time.sleep(max(0.0, began_s + times_s[number] - time.monotonic()))
        traces[number] = asker.ask(ask(number, 0))

    _run_all([lambda number=number: run(number) for number in range(len(times_s))])  # type: ignore[misc]
    known = [trace for trace in traces if trace is not None]
    failed = [trace.error for trace in known if trace.error and not trace.refusals]
    if failed:
        raise RuntimeError(f"{len(failed)} turns failed, first: {failed[0]}")
    return Opened([trace for trace in known if not trace.error], sum(bool(trace.refusals) for trace in known))


def arrival_times(rate_hz: float, duration_s: float, seed: int) -> list[float]:
    """Of a Poisson process, in seconds from its start."""
    generator, found, at_s = np.random.default_rng(seed), [], 0.0
    while (at_s := at_s + float(generator.exponential(1 / rate_hz))) < duration_s:
        found.append(at_s)
    return found


def _run_all(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
