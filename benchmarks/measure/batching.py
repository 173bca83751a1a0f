"""Streams that share batched steps, against the same streams served one request at a time."""

from __future__ import annotations

import threading
import time
from functools import partial

from stream_omni_eval.turn_trace import Arrival, TurnTrace

from benchmarks.askers import Asker, ServedAsker
from benchmarks.load import Closed, closed_loop
from benchmarks.plans import Plan
from benchmarks.questions import Question, spoken
from benchmarks.results import Values
from benchmarks.subjects import Subject
from benchmarks.summary import Ratio, interleave
from benchmarks.turn_metrics import describe_turns

_STREAMS = 8


class OneAtATime:
    """Lets one turn through; the others wait at the door in the order in which they came (a lock would favour whom it
    just let through), and their times include it."""

    def __init__(self, asker: Asker) -> None:
        self._asker, self._door = asker, threading.Condition()
        self._came = self._gone = 0

    def ask(self, question: Question, leave_after: int | None = None) -> TurnTrace:
        came_s = time.monotonic()
        with self._door:
            ticket, self._came = self._came, self._came + 1
            self._door.wait_for(lambda: self._gone == ticket)
        try:
            trace = self._asker.ask(question, leave_after)
        finally:
            with self._door:
                self._gone += 1
                self._door.notify_all()
        waited_s = trace.began_s - came_s
        later = [Arrival(a.kind, a.at_s + waited_s, a.audio_s, a.units) for a in trace.arrivals]
        return TurnTrace(came_s, later, trace.refusals, trace.error, trace.left)


def measure(subject: Subject, plan: Plan) -> Values:
    streams = min(_STREAMS, max(plan.levels))
    with subject.serve(slots=streams) as server:
        asker = ServedAsker(server.grpc_url)
        askers: dict[str, Asker] = {"batched": asker, "one at a time": OneAtATime(asker)}
        sides = {
            name: partial(closed_loop, side, spoken(plan.answer_s), streams, plan.turns)
            for name, side in askers.items()
        }
        found = interleave(sides, plan.rounds)
        asker.close()
    return {
        "streams": streams,
        **{name: _describe(rounds) for name, rounds in found.items()},
        "unit_rate_ratio": Ratio.of(
            *([closed.unit_rate_hz for closed in found[name]] for name in ("batched", "one at a time"))
        ).as_json(),
    }


def _describe(rounds: list[Closed]) -> Values:
    turns = [turn for closed in rounds for turn in closed.turns]
    return {"unit_rate_hz": [closed.unit_rate_hz for closed in rounds], **describe_turns(turns)}
