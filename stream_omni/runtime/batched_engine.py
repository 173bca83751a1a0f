"""What both generation engines do alike: seat turns, let them go, and keep a failure to those it concerns."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from stream_omni.runtime.events import Event
from stream_omni.runtime.slots import KeyValueCaches, Seated, Slots

log = logging.getLogger(__name__)


class EngineTurn(Seated, Protocol):
    turn: int


T = TypeVar("T", bound=EngineTurn)


class BatchedEngine(Generic[T]):
    """Turns by number, each in a slot from start to end. Not thread-safe; see :mod:`stream_omni.runtime.engine`."""

    def __init__(self, slots: int, caches: Sequence[KeyValueCaches]) -> None:
        self._slots: Slots[T] = Slots(slots, caches)
        self._turns: dict[int, T] = {}  # in the order of their start
        self.nonfinite = 0  # turns that ended because a number was not finite

    @property
    def capacity(self) -> int:
        """Turns that fit."""
        return self._slots.capacity

    @property
    def active(self) -> int:
        """Turns that hold a slot."""
        return len(self._turns)

    def cancel(self, turn: int) -> None:
        """Free a turn's slot at once; a turn that is already over is ignored."""
        if state := self._turns.get(turn):
            self._release(state)

    def _admit(self, state: T) -> None:
        if state.turn in self._turns:
            raise ValueError(f"turn {state.turn} is already running")
        self._slots.join(state)
        self._turns[state.turn] = state

    def _release(self, state: T) -> None:
        self._slots.leave(state)
        del self._turns[state.turn]

    @contextmanager
    def _contained(self, states: Sequence[T], events: list[Event]) -> Iterator[None]:
        """What fails within ends ``states``, for which it was done, and no other turn."""
        try:
            yield
        except Exception as error:
            log.exception("turns %s failed", [state.turn for state in states])
            # its own words may hold paths and are for the log only
            message = f"a step of {type(self).__name__} failed ({type(error).__name__})"
            for state in states:
                self.nonfinite += isinstance(error, FloatingPointError)
                self._release(state)
                events.append(Event(state.turn, finish="error", message=message))
