"""Beginnings that many prompts share (chat template, system prompt): read once, and copied for whoever comes next."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from stream_omni.runtime.session import Array

Content = tuple[bytes, ...]


def content_of(*tensors: Array) -> Content:
    """All bytes of the tensors that a beginning is computed from: what it is found by."""
    return tuple(tensor.tobytes() for tensor in tensors)


class Prefixes:
    """Results by the exact content that they were computed from, those used last, up to ``limit_bytes`` (0: none).

    It is only a memory: whether a caller's beginning is really shared decides how often it is found, never what is
    found. Any thread may use it.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept_bytes = 0
        self._entries: OrderedDict[Content, tuple[Array, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, content: Content) -> tuple[Array, ...] | None:
        """Read-only tensors, or None."""
        with self._lock:
            found = self._entries.get(content)
            if found is not None:
                self._entries.move_to_end(content)
            return found

    def keep(self, content: Content, tensors: Sequence[Array]) -> None:
        """Remember a copy; those unused for the longest time give way to it. What holds a number that is not finite
        fails its own turn, and is not kept to fail all those that follow."""
        size = _size(content, tensors)
        if size > self._limit_bytes or not all(np.isfinite(tensor).all() for tensor in tensors):
            return
        copies = tuple(np.array(tensor) for tensor in tensors)
        for copy in copies:
            copy.flags.writeable = False
        with self._lock:
            if content in self._entries:
                return
            self._entries[content] = copies
            self._kept_bytes += size
            while self._kept_bytes > self._limit_bytes:
                self._kept_bytes -= _size(*self._entries.popitem(last=False))


def _size(content: Content, tensors: Sequence[Array]) -> int:
    return sum(map(len, content)) + sum(tensor.nbytes for tensor in tensors)
