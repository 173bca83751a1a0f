"""Open loop: users come at random times, whatever has become of those before, at shares of what the server can do."""

from __future__ import annotations

from functools import partial

from benchmarks.askers import ServedAsker
from benchmarks.load import Opened, closed_loop, open_loop
from benchmarks.plans import Plan
from benchmarks.questions import spoken
from benchmarks.results import Values
from benchmarks.subjects import Subject
from benchmarks.summary import interleave
from benchmarks.turn_metrics import describe_turns

_SLOTS = 8


def measure(subject: Subject, plan: Plan) -> Values:
    ask = spoken(plan.answer_s)
    with subject.serve(_SLOTS) as server:
        patient, asker = ServedAsker(server.grpc_url), ServedAsker(server.grpc_url, patient=False)
        full = closed_loop(patient, ask, min(_SLOTS, max(plan.levels)), plan.turns)
        capacity_hz = full.unit_rate_hz / (sum(turn.units for turn in full.turns) / len(full.turns))
        sides = {
            load: partial(open_loop, asker, ask, load * capacity_hz, plan.load_duration_s, seed=number)
            for number, load in enumerate(plan.loads)
        }
        found = interleave(sides, rounds=1)
        patient.close()
        asker.close()
    return {
        "turns_a_second_at_most": capacity_hz,
        "loads": {load: {"arrivals_hz": load * capacity_hz, **_describe(found[load][0])} for load in plan.loads},
    }


def _describe(opened: Opened) -> Values:
    return {"refused": opened.refused, **describe_turns(opened.turns)}
