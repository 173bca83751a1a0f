"""Choosing ids: greedy, the nucleus against its definition, and that a turn's draws are its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_omni import sampling
from stream_omni.sampling import choose, text_generator


def test_temperature_zero_takes_the_largest_and_of_equals_the_first() -> None:
    assert choose(np.array([1, 3, 3, 2], np.float32), 0, 1.0, text_generator(0)) == 1


def test_the_same_seed_draws_the_same_ids_and_another_one_others() -> None:
    logits = np.random.default_rng(0).standard_normal((50, 500)).astype(np.float32)
    first, again, other = ([choose(row, 1.0, 0.9, g) for row in logits] for g in map(text_generator, (5, 5, 6)))
    assert first == again != other


def test_rounding_of_close_logits_changes_no_draw() -> None:
    """As of products of several turns at once, on processors whose sums then have another order."""
    chance = np.random.default_rng(0)
    logits = chance.standard_normal((60, 20_000)).astype(np.float32)
    noise = chance.uniform(-2e-5, 2e-5, logits.shape).astype(np.float32)
    alone, in_company = (
        [choose(row, 0.8, 0.9, g) for row in rows]
        for rows, g in zip((logits, logits + noise), map(text_generator, (5, 5)), strict=True)
    )
    assert alone == in_company


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12), st.floats(0.05, 1), st.floats(0.2, 3))
def test_only_ids_of_the_nucleus_are_drawn_and_all_of_them(values: list[int], top_p: float, temperature: float) -> None:
    logits = np.array(values, np.float32)
    p = np.exp(logits.astype(np.float64) / temperature)
    p /= p.sum()
    order = sorted(range(len(p)), key=lambda i: (-p[i], i))
    nucleus = next((order[: n + 1] for n in range(len(p)) if p[order[: n + 1]].sum() >= top_p - 1e-9), order)
    generator = text_generator(1)
    drawn = {choose(logits, temperature, top_p, generator) for _ in range(300)}
    assert drawn <= set(nucleus)
    assert {i for i in nucleus if p[i] > 0.05} <= drawn


def test_frequencies_follow_the_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.25, 0.2, 0.05])).astype(np.float32)
    generator = text_generator(2)
    drawn = np.bincount([choose(logits, 1.0, 0.95, generator) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, [0.5 / 0.95, 0.25 / 0.95, 0.2 / 0.95, 0], atol=0.03)


@pytest.mark.parametrize("spread", [0.0, 0.01, 2.0])  # all equal: ties across the border of the first look
def test_a_large_vocabulary_gives_the_same_nucleus_as_a_full_sort(
    spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = np.exp(spread * np.random.default_rng(0).standard_normal(20_000).round(1))
    for top_p in (0.01, 0.5, 0.999):
        quick = sampling._nucleus(weights, top_p)
        with monkeypatch.context() as patched:
            patched.setattr(sampling, "_FIRST_LOOK", len(weights))
            np.testing.assert_array_equal(quick, sampling._nucleus(weights, top_p))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(value: float) -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        choose(np.array([0, value, 1], np.float32), 1.0, 0.5, text_generator(0))
