"""Percentiles, ratios, and the order in which sides are measured."""

from __future__ import annotations

import pytest
from stream_omni_eval.percentiles import Percentiles

from benchmarks.summary import Ratio, interleave


def test_percentiles_lie_between_ranks() -> None:
    found = Percentiles.of([float(i) for i in range(101)])
    assert (found.count, found.p50, found.p95, found.p99) == (101, 50.0, 95.0, 99.0)
    assert Percentiles.of([1.0, 2.0]).p50 == 1.5
    assert Percentiles.of([7.0]) == Percentiles(1, 7.0, 7.0, 7.0)
    assert Percentiles.of([]) == Percentiles(0, None, None, None)


def test_a_ratio_is_taken_round_by_round() -> None:
    """The machine was half as fast in the second round: the sides' medians would say 1.5, every round says 2."""
    found = Ratio.of([2.0, 4.0, 2.0], [1.0, 2.0, 1.0])
    assert (found.median, found.low, found.high) == (2.0, 2.0, 2.0)
    assert str(Ratio.of([1.0, 3.0], [1.0, 1.0])) == "2.00 (1.00 ... 3.00 in 2 rounds)"


def test_sides_of_unequal_length_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Ratio.of([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="at least one round"):
        Ratio.of([], [])


def test_sides_take_turns_and_change_places() -> None:
    order: list[str] = []

    def side(name: str) -> int:
        order.append(name)
        return len(order)

    found = interleave({"a": lambda: side("a"), "b": lambda: side("b")}, 3, say=lambda line: None)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1, 4, 5], "b": [2, 3, 6]}
