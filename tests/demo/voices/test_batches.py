from __future__ import annotations

import numpy as np
import pytest
from stream_omni_demo.voices.batches import LengthBatches


def test_a_round_has_every_item_once_in_batches_of_about_one_length() -> None:
    lengths = np.random.default_rng(0).uniform(1, 9, 1000)
    batches = LengthBatches(lengths, batch_size=10, seed=1)
    assert batches.steps_a_round == 100
    round_ = np.stack([batches.at(step) for step in range(100)])
    assert sorted(round_.ravel().tolist()) == list(range(1000))
    spread = np.mean([np.ptp(lengths[batch]) for batch in round_])
    assert spread < 0.1 * np.ptp(lengths)
    assert all((np.diff(lengths[batch]) <= 0).all() for batch in round_)  # longest first


def test_a_step_has_the_same_batch_whatever_was_asked_before() -> None:
    lengths = np.arange(95)
    one, other = LengthBatches(lengths, 10, seed=7), LengthBatches(lengths, 10, seed=7)
    for step in (30, 2, 17, 2):
        one.at(step)
    np.testing.assert_array_equal(one.at(25), other.at(25))
    assert not np.array_equal(other.at(0), other.at(9))


def test_rounds_and_seeds_differ() -> None:
    lengths = np.arange(100)
    batches = LengthBatches(lengths, 10, seed=0)
    assert not np.array_equal(batches.at(0), batches.at(10))
    assert not np.array_equal(batches.at(0), LengthBatches(lengths, 10, seed=1).at(0))


def test_too_few_items_are_refused() -> None:
    with pytest.raises(ValueError, match="3 items do not make a batch of 4"):
        LengthBatches([1, 2, 3], 4, seed=0)
