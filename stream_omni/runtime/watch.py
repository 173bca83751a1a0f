"""Who wants to know what an engine does; the engine's loop tells."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Is told what an engine does, on the engine's thread, which waits meanwhile."""

    def hold(self, turns: int, slots: int) -> None:
        """So many turns have been taken in and are not over; so many slots are in use."""

    def begin(self, waited_s: float) -> None:
        """A turn's first id, so long after its start was asked for."""

    def step(self, took_s: float, turns: int) -> None:
        """One step, which made ids for so many turns (none: it read prompts only)."""

    def lose(self, turns: int) -> None:
        """So many turns ended because a number was not finite."""


class Unwatched:
    def hold(self, turns: int, slots: int) -> None: ...

    def begin(self, waited_s: float) -> None: ...

    def step(self, took_s: float, turns: int) -> None: ...

    def lose(self, turns: int) -> None: ...
