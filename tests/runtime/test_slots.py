"""Slots: rows keep their contents whoever leaves, capacity follows the longest turn, nothing of a turn outlives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.graphs import Graph
from stream_omni.model_info import LlamaSizes, Rope
from stream_omni.runtime.session import Array
from stream_omni.runtime.slots import Full, KeyValueCaches, Slots, span

SIZES = LlamaSizes(16, 16, 4, 2, 4, 1, 1, 1, 1e-5, Rope(1e4))


@dataclass(eq=False)
class Turn:
    number: int
    length: int = 0
    row: int = -1


def caches(slots: int = 4) -> KeyValueCaches:
    return KeyValueCaches(Graph("g", (), (), cache_layers=2), SIZES, slots)


def write(pool: KeyValueCaches, turn: Turn, tokens: int) -> None:
    """What a session does: fill positions in place, here with the turn's number."""
    for array in pool.view(turn.row, turn.row + 1, tokens):
        assert array.flags.c_contiguous and array.dtype == np.float32
        array[0, :, turn.length : turn.length + tokens] = turn.number
    turn.length += tokens
    pool.lengths[turn.row] = turn.length


def row(pool: KeyValueCaches, index: int) -> list[Array]:
    return [array[0] for array in pool.view(index, index + 1, 0)]


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "write"]), st.integers(0, 3), st.integers(1, 200))))
def test_rows_hold_their_turn_and_only_it(actions: list[tuple[str, int, int]]) -> None:
    pool = caches()
    slots: Slots[Turn] = Slots(4, [pool])
    for number, (action, which, tokens) in enumerate(actions, 1):
        if action == "join" and len(slots.turns) < 4:
            slots.join(Turn(number))
        elif action == "write" and which < len(slots.turns):
            write(pool, slots.turns[which], tokens)
        elif action == "leave" and which < len(slots.turns):
            slots.leave(slots.turns[which])
        for index in range(4):
            turn = slots.turns[index] if index < len(slots.turns) else Turn(0)
            assert turn.row in (index, -1) and pool.lengths[index] == turn.length
            for array in row(pool, index):
                assert (array[:, : turn.length] == turn.number).all() and not array[:, turn.length :].any()
        longest = max((turn.length for turn in slots.turns), default=0)
        assert longest <= pool.capacity <= max(128, 2 * (longest + 128)) and pool.capacity % 128 == 0


def test_a_refused_turn_is_told_the_number_of_slots() -> None:
    slots: Slots[Turn] = Slots(1, [caches(1)])
    slots.join(Turn(1))
    with pytest.raises(Full, match="all 1 slots are taken") as refusal:
        slots.join(Turn(2))
    assert refusal.value.capacity == 1 and len(slots.turns) == 1


def test_what_is_adopted_is_what_is_stored() -> None:
    pool = caches()
    given_tensors = np.random.default_rng(0).standard_normal((4, 2, 150, 4)).astype(np.float32)
    pool.adopt(2, given_tensors)
    np.testing.assert_array_equal(pool.stored(2, 150), given_tensors)
    assert pool.capacity == 256 and pool.lengths.tolist() == [0, 0, 150, 0]


def test_a_view_of_several_rows_is_the_pools_own_memory() -> None:
    pool = caches()
    for array in pool.view(1, 3, 1):
        assert array.shape == (2, 2, 128, 4) and array.flags.c_contiguous
        array[:] = 7
    assert all((array == 7).all() for array in row(pool, 2)) and not any(array.any() for array in row(pool, 3))


def test_the_span_covers_all_given_rows() -> None:
    assert span([Turn(1, row=3), Turn(2, row=1)]) == (1, 4)
