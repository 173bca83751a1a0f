"""Attempts at mending one thing: the first at once, the next ones later and later, and not for ever."""

from __future__ import annotations

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_STABLE_S = 60.0  # what has held for so long did not break for the former reason; longer than the longest wait


class Tries:
    """At most ``limit`` in a row. Times are those of time.monotonic."""

    def __init__(self, limit: int) -> None:
        self._limit, self._count, self._ended_s = limit, 0, 0.0

    def wait_s(self, now_s: float) -> float | None:
        """How long to wait until the next attempt; None: there were enough."""
        if self._count and now_s - self._ended_s > _STABLE_S:
            self._count = 0
        if self._count == 0:
            return 0.0
        if self._count >= self._limit:
            return None
        due_s = self._ended_s + min(_FIRST_WAIT_S * 2.0 ** (self._count - 1), _LONGEST_WAIT_S)
        return max(0.0, due_s - now_s)

    def note(self, now_s: float) -> int:
        """An attempt has ended, well or not. Returns how many there were in a row."""
        self._count, self._ended_s = self._count + 1, now_s
        return self._count
