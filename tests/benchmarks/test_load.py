"""Load on a made-up server whose times are known, and on the real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from stream_omni_eval.turn_trace import Arrival, TurnTrace

from benchmarks.askers import Asker, InProcessAsker, ServedAsker
from benchmarks.load import arrival_times, closed_loop, open_loop
from benchmarks.measure.batching import OneAtATime
from benchmarks.questions import Question, mixed, spoken
from stream_omni.assets import Assets
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.turn import InProcess


@dataclass
class Sleeper:
    """Answers 25 units after a time, or refuses."""

    answer_s: float = 0.02
    refuses: bool = False
    most: int = 0
    now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, question: Question, leave_after: int | None = None) -> TurnTrace:
        trace = TurnTrace(time.monotonic())
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.answer_s)
        with self.lock:
            self.now -= 1
        if self.refuses:
            trace.refusals, trace.error = 1, "OVERLOADED"
        else:
            trace.arrivals = [Arrival("audio", self.answer_s, 1.0, 25), Arrival("done", self.answer_s)]
        return trace


def test_counted_turns_run_in_full_company() -> None:
    sleeper = Sleeper(answer_s=0.1)
    found = closed_loop(sleeper, spoken(1.0), streams=3, turns=4, warm_up=1)
    assert [len(turns) for turns in found.streams] == [4, 4, 4]
    assert sleeper.most == 3
    assert 0.3 * 3 * 25 / 0.1 < found.unit_rate_hz <= 3 * 25 / 0.1


def test_one_at_a_time_waits_at_the_door_and_says_so() -> None:
    sleeper = Sleeper()
    found = closed_loop(OneAtATime(sleeper), spoken(1.0), streams=3, turns=3)
    assert sleeper.most == 1
    assert found.unit_rate_hz <= 1.1 * 25 / 0.02
    assert max(turn.first_ms("audio") or 0 for turn in found.turns) > 2 * 20


def test_a_failed_turn_ends_the_measurement() -> None:
    with pytest.raises(RuntimeError, match="OVERLOADED"):
        closed_loop(Sleeper(refuses=True), spoken(1.0), streams=2, turns=1)


def test_arrivals_are_random_at_the_asked_rate_and_the_same_every_time() -> None:
    times_s = arrival_times(rate_hz=5.0, duration_s=400.0, seed=1)
    assert times_s == arrival_times(5.0, 400.0, 1) != arrival_times(5.0, 400.0, 2)
    gaps_s = np.diff(times_s)
    assert np.mean(gaps_s) == pytest.approx(0.2, rel=0.1)
    assert np.std(gaps_s) == pytest.approx(0.2, rel=0.1)  # of an exponential distribution it equals the mean


def test_an_open_loop_does_not_wait_and_counts_refusals() -> None:
    sleeper = Sleeper(answer_s=0.3)
    found = open_loop(sleeper, spoken(1.0), rate_hz=40, duration_s=0.5)
    assert sleeper.most > 3
    assert (found.refused, len(found.turns)) == (0, len(arrival_times(40, 0.5, 0)))
    assert open_loop(Sleeper(refuses=True), spoken(1.0), 40, 0.2).turns == []


@pytest.fixture(params=["served", "in process"])
def asker(request: pytest.FixtureRequest, built_directory: Path) -> Iterator[Asker]:
    if request.param == "served":
        served = ServedAsker(request.getfixturevalue("url"))
        yield served
        served.close()
    else:
        with InProcess(OnnxRuntime(built_directory), Assets.load(built_directory), slots=2) as turns:
            yield InProcessAsker(turns)


def test_a_real_answer_leaves_a_trace(asker: Asker) -> None:
    trace = asker.ask(spoken(1.0, picture=True)(0, 0))
    assert trace.error == ""
    kinds = [arrival.kind for arrival in trace.arrivals]
    assert kinds[0] == "transcript" and kinds[-1] == "done"
    assert trace.units == pytest.approx(25 * trace.audio_s, abs=1)
    times = [arrival.at_s for arrival in trace.arrivals]
    assert times == sorted(times) and times[0] > 0


def test_leaving_early_ends_the_turn(asker: Asker) -> None:
    trace = asker.ask(spoken(20.0)(0, 0), leave_after=1)
    assert trace.left and not trace.error
    assert [arrival.kind for arrival in trace.arrivals] == ["transcript"]


def test_the_mix_has_every_kind_of_turn_and_all_are_answered(url: str) -> None:
    served, ask = ServedAsker(url), mixed(0.4)
    questions = [ask(stream, 0) for stream in range(16)]
    kinds = {(q.task, q.output, q.audio is None, q.picture is None) for q in questions}
    assert {task for task, *_ in kinds} == {"answer", "transcribe", "speak"}
    assert len(kinds) >= 6
    assert [trace.error for trace in map(served.ask, questions)] == [""] * 16
    served.close()
