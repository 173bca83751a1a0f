"""What an engine's loop tells its watch, with the real text engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stream_omni.runtime.engine import EngineLoop
from stream_omni.runtime.session import Array, Session
from stream_omni.text_engine import TextEngine, TextRequest
from tests.recorded_turns import torch_runtime

OWNER = 1


@dataclass
class Notes:
    held: list[tuple[int, int]] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    steps: list[tuple[float, int]] = field(default_factory=list)
    lost: int = 0

    def hold(self, turns: int, slots: int) -> None:
        self.held.append((turns, slots))

    def begin(self, waited_s: float) -> None:
        self.waits_s.append(waited_s)

    def step(self, took_s: float, turns: int) -> None:
        self.steps.append((took_s, turns))

    def lose(self, turns: int) -> None:
        self.lost += turns


def request(length: int, max_tokens: int) -> TextRequest:
    return TextRequest(np.arange(length), np.zeros((0, 64), np.float32), max_tokens, ())


def until_over(loop: EngineLoop[TextEngine], count: int) -> list[str]:
    finished: list[str] = []
    while len(finished) < count:
        finished += [event.finish for event in loop.poll(OWNER).events() if event.finish]
    return finished


def test_turns_slots_and_steps_are_told(tiny_checkpoint: Path) -> None:
    runtime, notes = torch_runtime(tiny_checkpoint), Notes()
    loop = EngineLoop(TextEngine(runtime.session("llm"), runtime.info, 2), watch=notes)
    loop.start(OWNER, 1, request(200, 6))
    loop.start(OWNER, 2, request(20, 4))
    until_over(loop, 2)
    loop.close()
    assert max(notes.held) == (2, 2)
    assert notes.held[-1] == (0, 0)
    assert len(notes.waits_s) == 2 and 0 < min(notes.waits_s) < 5
    assert sum(turns for _, turns in notes.steps) == 10  # every id was made in a step that counted its turn
    assert notes.lost == 0


def test_a_cancel_that_waits_returns_when_the_slot_is_free(tiny_checkpoint: Path) -> None:
    runtime = torch_runtime(tiny_checkpoint)
    loop = EngineLoop(TextEngine(runtime.session("llm"), runtime.info, 1))
    for turn in range(20):
        loop.start(OWNER, turn, request(100, 3000))  # Full, if the one before still had the slot
        loop.cancel(OWNER, turn, wait_s=5)
        assert loop.active == 0
    loop.close()


def test_a_step_that_only_reads_is_for_nobody(tiny_checkpoint: Path) -> None:
    runtime, notes = torch_runtime(tiny_checkpoint), Notes()
    loop = EngineLoop(TextEngine(runtime.session("llm"), runtime.info, 1), watch=notes)
    loop.start(OWNER, 1, request(200, 2))
    until_over(loop, 1)
    loop.close()
    assert [turns for _, turns in notes.steps] == [0, 0, 0, 1, 1]


class Spoiling:
    """Makes the logits of one row of a batch infinite."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        outputs = self._session.run(inputs, caches)
        if len(outputs["logits"]) == 2:
            outputs["logits"][1] = np.nan
        return outputs


def test_a_number_that_is_not_finite_ends_its_turn_and_is_told(tiny_checkpoint: Path) -> None:
    runtime, notes = torch_runtime(tiny_checkpoint), Notes()
    loop = EngineLoop(TextEngine(Spoiling(runtime.session("llm")), runtime.info, 2), watch=notes)
    loop.start(OWNER, 1, request(20, 40))
    loop.start(OWNER, 2, request(20, 40))
    assert sorted(until_over(loop, 2)) == ["error", "length"]
    loop.close()
    assert notes.lost == 1 and notes.held[-1] == (0, 0)
