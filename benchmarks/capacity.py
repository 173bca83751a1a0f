"""``python -m benchmarks capacity``: how many turns one replica answers at once while first sounds come in time.

What an autoscaler's target is made of (docs/capacity.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from stream_omni_client.audio import read_audio
from stream_omni_eval.manifest import read_manifest
from stream_omni_eval.turn_trace import TurnTrace

from benchmarks.askers import Asker, ServedAsker
from benchmarks.load import closed_loop
from benchmarks.questions import SAMPLE_RATE_HZ, Ask, Question
from benchmarks.results import Values, record
from benchmarks.subjects import Subject
from benchmarks.turn_metrics import describe_turns
from stream_omni.audio import resample

SHARE = 0.95  # of the turns that must be so; the others may be late
SCALING_SHARE = 0.7  # of the capacity at which a replica more is asked for: it takes a start's time until it helps
_LONGEST_LEAD_S = 0.2

Asks = Callable[[int], Ask]  # of a look: a number of streams is looked at, and the answer twice


@dataclass(frozen=True)
class Goal:
    """``least_turns`` are judged at each number of streams: SHARE of them must have their first sound in time, and
    as many must play without a gap."""

    first_audio_ms: float
    most_streams: int
    least_turns: int


@dataclass
class Level:
    """Turns of so many streams at once."""

    streams: int
    turns: list[TurnTrace] = field(default_factory=list)

    @property
    def refusals(self) -> int:
        return sum(turn.refusals for turn in self.turns)

    def in_time(self, goal: Goal) -> float:
        """A share. A turn without sound counts as late."""
        return self._share(lambda turn: (turn.first_ms("audio") or float("inf")) <= goal.first_audio_ms)

    @property
    def gapless(self) -> float:
        return self._share(lambda turn: bool(turn.units) and turn.playback().keeps_up)

    def misses(self, goal: Goal) -> str:
        """Why it is too much; empty: it is not."""
        if self.refusals:
            return "places"
        if self.in_time(goal) < SHARE:
            return "first sound"
        return "" if self.gapless >= SHARE else "gaps"

    def _share(self, is_so: Callable[[TurnTrace], bool]) -> float:
        return sum(map(is_so, self.turns)) / len(self.turns)


def run(
    goal: Goal,
    manifest: Path,
    answer_s: float,
    place: Subject | str,
    profile: str,
    folder: Path,
    say: Callable[[str], None] = print,
) -> Path:
    """``place``: the address of a server, or what one is started from; ``profile``: what it was built with. Writes the
    result file."""
    named = {"server": place} if isinstance(place, str) else {"served": place.served.name}
    parameters = {
        "first_audio_ms": goal.first_audio_ms,
        "least_turns": goal.least_turns,
        "most_streams": goal.most_streams,
        "questions": manifest.name,
        "answer_s_at_most": answer_s,
        "profile": profile,
        **named,
    }
    with _asker(place, goal.most_streams) as asker:
        asks = recorded(manifest, answer_s)
        return record("capacity", parameters, lambda: measure(asker, asks, goal, say), folder)


def measure(asker: Asker, asks: Asks, goal: Goal, say: Callable[[str], None] = print) -> Values:
    levels: dict[int, Level] = {}
    looks = count()

    def holds(streams: int) -> bool:
        level = levels.setdefault(streams, Level(streams))
        turns = max(2, -(-goal.least_turns // streams))
        level.turns += closed_loop(asker, asks(next(looks)), streams, turns).turns
        say(_line(level, goal))
        return not level.misses(goal)

    capacity = confirmed(holds, most_that_holds(holds, goal.most_streams))
    too_many = levels.get(capacity + 1)
    return {
        "capacity": capacity,
        "limited_by": too_many.misses(goal) if too_many else "most_streams",
        "scaling_target": max(1, int(SCALING_SHARE * capacity)),
        "levels": {n: _described(levels[n], goal) for n in sorted(levels)},
    }


def most_that_holds(holds: Callable[[int], bool], most: int) -> int:
    """The largest number for which ``holds``, of 1 ... ``most``, if fewer never fail where more hold; 0: none."""
    good, trial = 0, 1
    while holds(trial):
        good = trial
        if trial == most:
            return most
        trial = min(2 * trial, most)
    bad = trial
    while bad - good > 1:
        trial = (good + bad) // 2
        good, bad = (trial, bad) if holds(trial) else (good, trial)
    return good


def confirmed(holds: Callable[[int], bool], found: int) -> int:
    """The same, or fewer, after a second look: one may have been lucky."""
    while found and not holds(found):
        found -= 1
    return found


def recorded(manifest: Path, answer_s: float) -> Asks:
    """The spoken questions of an evaluation's manifest by turns, each behind a moment of near silence of its own, at
    each look another one, so that no server finds the beginning of a prompt among those that it remembers."""
    files = [item.audio for item in read_manifest(manifest) if item.audio is not None]
    if not files:
        raise ValueError(f'{manifest} has no spoken question: give its lines an "audio"')
    voices = [resample(*read_audio(file), SAMPLE_RATE_HZ) for file in files]

    def ask(look: int, stream: int, turn: int) -> Question:
        generator = np.random.default_rng([11, look, stream, turn])
        lead = generator.normal(0, 1e-3, int(generator.uniform(0, _LONGEST_LEAD_S) * SAMPLE_RATE_HZ))
        audio = np.concatenate([lead.astype(np.float32), voices[(stream + turn) % len(voices)]])
        return Question(audio=audio, answer_s=answer_s, seed=1000 * stream + turn)

    return lambda look: partial(ask, look)


def summary(result: dict[str, Any]) -> str:
    """What to do with it."""
    values, goal_ms = result["values"], result["parameters"]["first_audio_ms"]
    capacity = values["capacity"]
    if not capacity:
        return f"Not even one stream: its first sound takes longer than {goal_ms:g} ms, or it plays with gaps."
    why = {
        "first sound": "more come too late",
        "gaps": "more play with gaps",
        "places": "the server has no more places (slots of its profile)",
        "most_streams": "more were not tried (--most)",
    }[values["limited_by"]]
    return (
        f"{capacity} turns at once: {SHARE:.0%} of the first sounds within {goal_ms:g} ms, {SHARE:.0%} without a gap; "
        f"{why}.\nIn the chart's values: autoscaling.turnsPerReplica: {values['scaling_target']}; where most answers "
        f"are spoken, server.capacity.running: {capacity}, with as many slots in the profile"
    )


@contextmanager
def _asker(place: Subject | str, most_streams: int) -> Iterator[Asker]:
    if isinstance(place, Subject):
        with place.serve(slots=most_streams) as server, _asker(server.grpc_url, most_streams) as asker:
            yield asker
    else:
        served = ServedAsker(place)
        try:
            yield served
        finally:
            served.close()


def _described(level: Level, goal: Goal) -> Values:
    found = {"in_time": level.in_time(goal), "gapless": level.gapless, "misses": level.misses(goal)}
    return found | describe_turns(level.turns)


def _line(level: Level, goal: Goal) -> str:
    first_ms = describe_turns(level.turns)["first_audio_ms"]
    told = " / ".join("-" if first_ms[share] is None else f"{first_ms[share]:.0f}" for share in ("p50", "p95"))
    verdict = f"too many: {level.misses(goal)}" if level.misses(goal) else "holds"
    return (
        f"{level.streams:4} streams: first sound {told} ms (p50 / p95), {level.in_time(goal):.0%} in time, "
        f"{level.gapless:.0%} without a gap, {level.refusals} refusals: {verdict}"
    )
