"""Whose chunk is next: short prompts pass long ones, equal ones keep their order, and none waits for ever."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from stream_omni.graphs import Graph
from stream_omni.model_info import LlamaSizes, Rope
from stream_omni.runtime.prompt_reader import PromptReader, Reading
from stream_omni.runtime.slots import KeyValueCaches

SIZES = LlamaSizes(8, 8, 1, 1, 2, 1, 1, 1, 1e-5, Rope(1e4))
SLOTS = 8


@dataclass(eq=False)
class Turn:
    number: int
    row: int
    reading: Reading
    came: int


def read_all(arrivals: dict[int, list[int]], steps: int) -> dict[int, int]:
    """``arrivals``: lengths of the prompts that come before each step. When each was read, by its number."""
    caches = KeyValueCaches(Graph("g", (), (), cache_layers=1), SIZES, SLOTS)
    prompts = PromptReader(caches, prefix_bytes=0)
    waiting: list[Turn] = []
    done: dict[int, int] = {}
    number = 0
    for step in range(steps):
        for length in arrivals.get(step, []):
            free = set(range(SLOTS)) - {turn.row for turn in waiting}
            if free:
                waiting.append(Turn(number, min(free), prompts.take(length, 0, ()), step))
            number += 1
        if waiting:
            turn = prompts.next(waiting)
            _, end = prompts.chunk(turn)
            prompts.advance(turn, end)
            if end == turn.reading.length:
                done[turn.number] = step
                waiting.remove(turn)
                caches.lengths[turn.row] = 0
    assert not waiting
    return done


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    assert read_all({0: [3000], 5: [60]}, 100)[1] == 5


def test_a_short_prompt_does_not_pass_one_that_is_almost_read() -> None:
    done = read_all({0: [640], 9: [64]}, 100)
    assert done == {0: 9, 1: 10}


def test_equal_prompts_are_read_one_after_the_other() -> None:
    assert read_all({0: [128, 128, 128]}, 100) == {0: 1, 1: 3, 2: 5}


def test_short_prompts_without_end_do_not_starve_a_long_one() -> None:
    endless = {step: [64] for step in range(1, 1000)}
    alone = read_all({0: [1280]}, 100)[0]
    assert read_all({0: [1280], **endless}, 1100)[0] < 2 * alone + SLOTS + 2


@given(st.dictionaries(st.integers(0, 60), st.lists(st.integers(1, 400), min_size=1, max_size=3), max_size=20))
def test_every_prompt_is_read(arrivals: dict[int, list[int]]) -> None:
    assert read_all(arrivals, 1000) is not None
