"""Seats for turns: key-value caches of a fixed number of slots, the active ones always a compact prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from stream_omni.graphs import Graph
from stream_omni.model_info import LlamaSizes
from stream_omni.runtime.memory import HOST, Held, Memory
from stream_omni.runtime.session import Array

CAPACITY_STEP = 128  # positions; a capacity that followed every step would copy the caches at every step


class Full(Exception):  # noqa: N818 - a state, not a mistake; named like queue.Full
    """No slot is free. ``capacity`` is the number of slots; nothing of the refused turn is kept."""

    def __init__(self, capacity: int) -> None:
        super().__init__(f"all {capacity} slots are taken")
        self.capacity = capacity


class KeyValueCaches:
    """The caches of one graph for all slots: a row each, ``lengths`` [slots] valid positions in it. They live in
    ``memory``, of which only what is adopted or stored is copied.

    The capacity S follows the longest active row in steps of 128, since a step's cost grows with it. Positions that
    hold nothing are zero: masked attention multiplies them by zero, which must not meet a NaN that a former turn left.
    """

    def __init__(self, graph: Graph, llama: LlamaSizes, slots: int, memory: Memory = HOST) -> None:
        self._memory = memory
        self.lengths = np.zeros(slots, np.int64)
        self._shape = (slots, llama.kv_heads, llama.head_size)
        self._arrays = [self._allocate(CAPACITY_STEP) for _ in graph.cache_names()]

    def _allocate(self, capacity: int) -> Held:
        slots, kv_heads, head_size = self._shape
        return self._memory.caches((slots, kv_heads, capacity, head_size))

    @property
    def capacity(self) -> int:
        return int(self._arrays[0].shape[2])

    def view(self, begin: int, end: int, more_tokens: int) -> list[Held]:
        """Rows begin..end as a session wants them, [end - begin, kv_heads, S, head_size], with room for more tokens."""
        needed = int(self.lengths[begin:end].max()) + more_tokens
        if needed > self.capacity:
            self._resize(needed)
        return [array[begin:end] for array in self._arrays]

    def adopt(self, row: int, tensors: Array) -> None:
        """Fill a row's first L positions with ``tensors`` [caches, kv_heads, L, head_size], made elsewhere."""
        length = tensors.shape[2]
        if length > self.capacity:
            self._resize(length)
        with self._memory.ordered():
            for array, tensor in zip(self._arrays, tensors, strict=True):
                array[row, :, :length] = self._memory.put(tensor)
        self.lengths[row] = length

    def stored(self, row: int, length: int) -> Array:
        """A copy of a row's first positions, as :meth:`adopt` takes them: [caches, kv_heads, length, head_size]."""
        return np.stack([self._memory.fetch(array[row, :, :length]) for array in self._arrays])

    def remove(self, row: int, last: int) -> None:
        """Free ``row``, moving row ``last`` (the end of the compact prefix) there."""
        with self._memory.ordered():
            for array in self._arrays:
                if row != last:
                    array[row] = array[last]
                array[last] = 0
        self.lengths[row] = self.lengths[last]
        self.lengths[last] = 0
        if _capacity_for(int(self.lengths.max()) + 1) * 2 <= self.capacity:
            self._resize(int(self.lengths.max()) + 1)

    def _resize(self, positions: int) -> None:
        capacity = _capacity_for(positions)
        used = np.flatnonzero(self.lengths)
        active, kept = int(used[-1]) + 1 if len(used) else 0, min(capacity, self.capacity)
        with self._memory.ordered():
            for i, old in enumerate(self._arrays):  # one at a time, so that one array at the most exists twice
                self._arrays[i] = self._allocate(capacity)
                self._arrays[i][:active, :, :kept] = old[:active, :, :kept]


def _capacity_for(positions: int) -> int:
    return max(1, -(-positions // CAPACITY_STEP)) * CAPACITY_STEP


class Seated(Protocol):
    row: int


T = TypeVar("T", bound=Seated)


class Slots(Generic[T]):
    """Who sits where: ``turns[row]``. Leaving moves the last turn into the gap, in every one of ``caches``."""

    def __init__(self, capacity: int, caches: Sequence[KeyValueCaches]) -> None:
        self.capacity = capacity
        self.turns: list[T] = []
        self._caches = caches

    def join(self, turn: T) -> None:
        """Seat ``turn`` and set its ``row``. Raises :class:`Full`."""
        if len(self.turns) >= self.capacity:
            raise Full(self.capacity)
        turn.row = len(self.turns)
        self.turns.append(turn)

    def leave(self, turn: T) -> None:
        last = self.turns.pop()
        for caches in self._caches:
            caches.remove(turn.row, last.row)
        if last is not turn:
            last.row = turn.row
            self.turns[turn.row] = last


def span(turns: Sequence[Seated]) -> tuple[int, int]:
    """The smallest range of rows that holds ``turns``; others within it run along as padding."""
    return min(turn.row for turn in turns), max(turn.row for turn in turns) + 1
