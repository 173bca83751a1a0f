"""The statistics find what they are for, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from stream_omni_eval.seams import (
    HOP_SAMPLES,
    Changes,
    SeamValues,
    compare_seams,
    distance_db,
    level_db,
    log_mel_db,
)

FRAMES = 400
SEAMS = np.arange(20, FRAMES - 20, 20)


@pytest.fixture(scope="module")
def signal():
    """Noise whose level wanders."""
    generator = np.random.default_rng(0)
    level = np.exp(np.cumsum(generator.normal(0, 0.05, FRAMES)))
    return 0.1 * np.repeat(level / level.mean(), HOP_SAMPLES) * generator.standard_normal(HOP_SAMPLES * FRAMES)


def compare(samples):
    at = np.zeros(FRAMES, bool)
    at[SEAMS] = True
    return {
        name: compare_seams([SeamValues.split(values, at, ~at)])
        for name, values in Changes.of(samples).by_name().items()
    }


def test_places_without_seams_are_like_any_other(signal):
    for found in compare(signal).values():
        assert found["count"] == len(SEAMS)
        assert abs(found["rank"] - 0.5) < 3 * found["rank_error"]
        assert found["above_p95"] < 0.2


def test_clicks_are_found(signal):
    clicked = signal.copy()
    clicked[HOP_SAMPLES * SEAMS] += 0.8
    assert compare(clicked)["kink"]["rank"] > 0.9


def test_jumps_of_the_level_are_found(signal):
    louder = np.repeat(np.arange(FRAMES) // 20 % 2, HOP_SAMPLES)
    found = compare(signal * 10 ** (10 * louder / 20))
    assert found["energy_step_db"]["rank"] > 0.9
    assert found["flux"]["rank"] > 0.9


def test_distances_are_in_decibels(signal):
    np.testing.assert_allclose(distance_db(log_mel_db(signal), log_mel_db(signal / 2)), 6.02, atol=0.01)
    assert level_db(np.ones(10)) == pytest.approx(0, abs=1e-3)
