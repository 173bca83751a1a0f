"""How the fuzzing tests run Hypothesis: by themselves the same cases every time, at leisure new ones."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def cases(count: int, by_chance: bool) -> settings:
    """Nothing is remembered from one run to the next, and no case is too slow: bounds are the tests' own."""
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=not by_chance,
        suppress_health_check=list(HealthCheck),
    )
