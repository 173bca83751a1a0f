"""Closed loop: 1, 2, 4 ... streams that ask spoken questions and listen to the answers, every level in every round."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from stream_omni_eval.percentiles import Percentiles
from stream_omni_eval.turn_trace import TurnTrace

from benchmarks.askers import ServedAsker
from benchmarks.load import Closed, closed_loop
from benchmarks.memory import resident_mb
from benchmarks.plans import Plan
from benchmarks.questions import spoken
from benchmarks.results import Values
from benchmarks.subjects import Subject
from benchmarks.summary import Ratio, interleave
from benchmarks.turn_metrics import describe_turns
from benchmarks.watch import Watch


def measure(subject: Subject, plan: Plan) -> Values:
    with subject.serve(slots=max(plan.levels)) as server:
        assert server.process is not None
        asker = ServedAsker(server.grpc_url)
        with Watch(partial(resident_mb, server.process.pid)) as memory:
            sides = {n: _side(asker, plan, n) for n in plan.levels}
            found = interleave(sides, plan.rounds)
        asker.close()
    return {
        "levels": {n: _describe(rounds) for n, rounds in found.items()},
        "unit_rate_ratio": {n: _ratio(found, n, lambda closed: closed.unit_rate_hz) for n in plan.levels},
        "first_audio_p95_ratio": {n: _ratio(found, n, _first_audio_p95_ms) for n in plan.levels},
        "first_audio_share": Percentiles.of([_share(turn) for closed in found[1] for turn in closed.turns]).as_json(),
        "streams_that_keep_up": _streams_that_keep_up(found),
        "resident_mb": memory.samples,
    }


def _side(asker: ServedAsker, plan: Plan, streams: int) -> Callable[[], Closed]:
    return partial(closed_loop, asker, spoken(plan.answer_s), streams, plan.turns_of(streams))


def _describe(rounds: list[Closed]) -> Values:
    turns = [turn for closed in rounds for turn in closed.turns]
    return {"unit_rate_hz": [closed.unit_rate_hz for closed in rounds], **describe_turns(turns)}


def _ratio(found: dict[int, list[Closed]], streams: int, value: Callable[[Closed], float]) -> Values:
    """To one stream, round by round."""
    return Ratio.of([value(closed) for closed in found[streams]], [value(closed) for closed in found[1]]).as_json()


def _first_audio_p95_ms(closed: Closed) -> float:
    found = Percentiles.of([ms for turn in closed.turns if (ms := turn.first_ms("audio")) is not None])
    assert found.p95 is not None
    return found.p95


def _share(turn: TurnTrace) -> float:
    """Time to the first audio as a share of the time to the whole answer."""
    first_ms, done_ms = turn.first_ms("audio"), turn.first_ms("done")
    assert first_ms is not None and done_ms is not None
    return first_ms / done_ms


def _streams_that_keep_up(found: dict[int, list[Closed]]) -> int:
    """The largest level at which every counted turn of every round played without a gap."""
    good = [n for n, rounds in found.items() if all(t.playback().keeps_up for c in rounds for t in c.turns)]
    return max(good, default=0)
