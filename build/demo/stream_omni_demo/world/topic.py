"""What a conversation without a picture can be about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Case = Mapping[str, str]

TELL = "(please|) tell me"
CAN = "(can|could) you (please|) tell me"
THEN = "(and|so|now|)"


@dataclass(frozen=True)
class Topic:
    """Patterns with slots, and one answer with slots; ``cases`` are the values that go together. ``keys`` are words of
    the answer, or slots of it, that decide whether another answer is right."""

    kind: str
    patterns: tuple[str, ...]
    answer: str
    keys: tuple[str, ...]
    cases: tuple[Case, ...] = ({},)


def asked(direct: str, indirect: str) -> tuple[str, ...]:
    """A question of its own, and the same within another sentence."""
    return (f"{THEN} {direct}?", f"{TELL} {indirect}.", f"{CAN} {indirect}?", f"do you know {indirect}?")
