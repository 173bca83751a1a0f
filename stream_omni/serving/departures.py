"""Turns that their clients have left by a message, instead of cancelling the call."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

TICKET, LEAVE = "ticket", "leave"  # parameters: of a turn, and of the message that ends it
_SHORTEST, _LONGEST = 16, 64  # characters of a ticket: nobody guesses it, and many can be kept
_KEPT = 10_000  # far more than come between two looks


class Departures:
    """Of one front door. A message may come before the turn that it ends: they travel on streams of their own."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, None] = OrderedDict()

    def note(self, ticket: str) -> None:
        """From one thread only."""
        self._left[ticket] = None
        if len(self._left) > _KEPT:
            self._left.popitem(last=False)

    def __contains__(self, ticket: str | None) -> bool:
        return ticket in self._left


def as_ticket(sent: Any) -> str | None:
    """What a client sent as one; None: it is none."""
    return sent if isinstance(sent, str) and _SHORTEST <= len(sent) <= _LONGEST else None
