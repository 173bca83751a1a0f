"""Comparisons whose sides were measured by turns."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Ratio:
    """One ratio a round, numerator and denominator measured next to each other."""

    median: float
    low: float
    high: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
        """Raises ValueError for sides of unequal or no length."""
        rounds = tuple(n / d for n, d in zip(numerators, denominators, strict=True))
        if not rounds:
            raise ValueError("a ratio needs at least one round")
        return cls(float(np.median(rounds)), min(rounds), max(rounds), rounds)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} ... {self.high:.2f} in {len(self.rounds)} rounds)"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def interleave(
    sides: Mapping[Key, Callable[[], Value]], rounds: int, say: Callable[[str], None] = print
) -> dict[Key, list[Value]]:
    """Run all sides in turn, ``rounds`` times: A B A B. What disturbs the machine disturbs neighbours alike.

    Every second round goes backwards (A B B A), so that none profits from always being the second.
    """
    found: dict[Key, list[Value]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            say(f"round {number + 1} of {rounds}: {name}")
            found[name].append(sides[name]())
    return found
