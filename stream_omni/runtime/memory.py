"""Where a runtime's arrays live: what engines ask for when an array must not leave it between two calls."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np

from stream_omni.runtime.session import Array

Held = Any  # an array of a memory: NumPy's of the host, a torch tensor elsewhere; both are indexed and written alike


class Memory(Protocol):
    def ordered(self) -> AbstractContextManager[Any]:
        """Within, what is written to arrays of this memory comes after all that was done before, on any thread."""
        ...

    def caches(self, shape: tuple[int, ...]) -> Held:
        """Zeros, of the type in which the runtime keeps keys and values."""
        ...

    def zeros(self, shape: tuple[int, ...]) -> Held:
        """float32."""
        ...

    def put(self, array: Array) -> Held:
        """The same values there."""
        ...

    def fetch(self, held: Held) -> Array:
        """The same values in the host's memory; what is kept in fewer bits comes back as float32."""
        ...

    def join(self, held: Sequence[Held]) -> Held:
        """One after the other along the first axis."""
        ...


class Host:
    """Plain NumPy, in which nothing has to travel."""

    def ordered(self) -> AbstractContextManager[None]:
        return nullcontext()

    def caches(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, np.float32)  # pages that are never touched cost nothing

    def zeros(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, np.float32)

    def put(self, array: Array) -> Array:
        return array

    def fetch(self, held: Array) -> Array:
        return held

    def join(self, held: Sequence[Array]) -> Array:
        return np.concatenate(held)


HOST = Host()


def memory_of(session: object) -> Memory:
    """The one that a session works in. A session that names none works in the host's."""
    found: Memory = getattr(session, "memory", HOST)
    return found


def finds_best_there(runtime: object) -> bool:
    """Whether the best ids of ``llm`` are found where its logits are ("llm_greedy"), so that these need not travel."""
    return bool(getattr(runtime, "finds_best_there", False))
