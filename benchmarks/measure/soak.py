"""Many mixed turns, a fifth of them cancelled at random: memory before and after, and places that never came back."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from stream_omni_eval.turn_trace import TurnTrace

from benchmarks.askers import ServedAsker
from benchmarks.memory import resident_mb
from benchmarks.places import look
from benchmarks.plans import Plan
from benchmarks.questions import mixed
from benchmarks.results import Values
from benchmarks.subjects import Subject
from benchmarks.watch import Watch

_STREAMS = 8
_ANSWER_S = 2.0
_CANCELLED_SHARE = 0.2
_REST_S = 3.0  # longer than an engine's lease


def measure(subject: Subject, plan: Plan) -> Values:
    first, more = plan.soak_turns
    with subject.serve(_STREAMS) as server:
        assert server.process is not None
        group, asker = server.process.pid, ServedAsker(server.grpc_url)
        with Watch(partial(resident_mb, group)) as memory:
            before = _run(asker, range(first))
            time.sleep(_REST_S)
            before_mb = resident_mb(group)
            after = _run(asker, range(first, first + more))
            time.sleep(_REST_S)
            after_mb = resident_mb(group)
            places = look(server.metrics_url)
        asker.close()
    turns = [*before, *after]
    return {
        "turns": [first, first + more],
        "cancelled": sum(turn.left for turn in turns),
        "failed": [turn.error for turn in turns if turn.error],
        "resident_mb_after": [before_mb, after_mb],
        "resident_ratio": after_mb / before_mb,
        "resident_mb": memory.samples,
        "places_lost": places.taken,
    }


def _run(asker: ServedAsker, numbers: range) -> list[TurnTrace]:
    ask = mixed(_ANSWER_S)

    def turn(number: int) -> TurnTrace:
        generator = np.random.default_rng([7, number])
        leave_after = int(generator.integers(1, 6)) if generator.random() < _CANCELLED_SHARE else None
        return asker.ask(ask(number % _STREAMS, number // _STREAMS), leave_after)

    with ThreadPoolExecutor(_STREAMS) as pool:
        return list(pool.map(turn, numbers))
