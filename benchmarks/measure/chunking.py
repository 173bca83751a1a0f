"""Sound in chunks as units come, against the whole utterance at once; both in process, on the same graphs."""

from __future__ import annotations

from functools import partial

from stream_omni_eval.turn_trace import TurnTrace

from benchmarks.askers import InProcessAsker
from benchmarks.in_process import in_process
from benchmarks.plans import Plan
from benchmarks.questions import spoken
from benchmarks.results import Values
from benchmarks.subjects import Subject
from benchmarks.summary import Ratio, interleave
from benchmarks.turn_metrics import describe_turns
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.onnx_runtime import OnnxRuntime

_WHOLE = ChunkSchedule(first_units=1_000_000, largest_units=1_000_000)


def measure(subject: Subject, plan: Plan) -> Values:
    question = spoken(plan.answer_s)(0, 0)
    runtime = OnnxRuntime(subject.served, subject.parameter("llm", "threads"))
    with in_process(subject, runtime=runtime) as chunked, in_process(subject, _WHOLE, runtime) as whole:
        sides = {
            name: partial(InProcessAsker(turns).ask, question)
            for name, turns in (("chunked", chunked), ("whole utterance", whole))
        }
        interleave(sides, rounds=1)  # first calls cost more
        found = interleave(sides, plan.pair_rounds)
    return {
        **{name: describe_turns(turns) for name, turns in found.items()},
        "first_audio_ratio": _ratio(found, "audio"),
        "total_ratio": _ratio(found, "done"),
    }


def _ratio(found: dict[str, list[TurnTrace]], kind: str) -> Values:
    """Whole utterance to chunked."""
    times = {name: [turn.first_ms(kind) or 0.0 for turn in turns] for name, turns in found.items()}
    return Ratio.of(times["whole utterance"], times["chunked"]).as_json()
