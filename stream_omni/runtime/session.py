"""The face behind which a graph runs, whichever runtime runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Session(Protocol):
    """A loaded graph."""

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        """Run once.

        ``inputs`` by the names of :mod:`stream_omni.graphs`; ``caches`` in the order of ``Graph.cache_names()``,
        float32, C-contiguous [B, kv_heads, S, head_size] views of the caller's memory, updated in place at the given
        positions.
        Returns the outputs by name, without the caches.
        """
        ...


class Runtime(Protocol):
    """A checkpoint, ready to run. ``session(name)`` loads a graph when first asked for it, and only that one."""

    def session(self, graph: str) -> Session: ...


__all__ = ["Array", "Runtime", "Session", "np"]
