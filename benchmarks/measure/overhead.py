"""One turn through gRPC and every served stage, against the same turn in process without Triton."""

from __future__ import annotations

from functools import partial

from stream_omni_eval.turn_trace import TurnTrace

from benchmarks.askers import Asker, InProcessAsker, ServedAsker
from benchmarks.in_process import in_process
from benchmarks.plans import Plan
from benchmarks.questions import Question, spoken
from benchmarks.results import Values
from benchmarks.subjects import Subject
from benchmarks.summary import Ratio, interleave
from benchmarks.turn_metrics import describe_turns


def measure(subject: Subject, plan: Plan) -> Values:
    question = spoken(plan.answer_s)(0, 0)
    with subject.serve(slots=1) as server, in_process(subject) as turns:
        served = ServedAsker(server.grpc_url)
        askers: dict[str, Asker] = {"served": served, "in process": InProcessAsker(turns)}
        for asker in askers.values():  # first calls cost more
            _ask(asker, question)
        sides = {name: partial(_ask, asker, question) for name, asker in askers.items()}
        found = interleave(sides, plan.pair_rounds)
        served.close()
    units = {turn.units for turns_of_side in found.values() for turn in turns_of_side}
    if len(units) != 1:
        raise RuntimeError(f"the two sides made different answers: {sorted(units)} units")
    return {
        **{name: describe_turns(turns_of_side) for name, turns_of_side in found.items()},
        "total_ratio": _ratio(found, "done"),
        "first_audio_ratio": _ratio(found, "audio"),
    }


def _ask(asker: Asker, question: Question) -> TurnTrace:
    trace = asker.ask(question)
    if trace.error:
        raise RuntimeError(trace.error)
    return trace


def _ratio(found: dict[str, list[TurnTrace]], kind: str) -> Values:
    """Served to in process, of when the first event of ``kind`` came."""
    times = {name: [turn.first_ms(kind) or 0.0 for turn in turns] for name, turns in found.items()}
    return Ratio.of(times["served"], times["in process"]).as_json()
