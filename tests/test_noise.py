from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.noise import RecordedNoise, TurnNoise


@given(seed=st.integers(0, 2**64 - 1), cut=st.integers(0, 6), first=st.integers(0, 10**7))
def test_a_frame_has_its_noise_whichever_chunk_it_comes_in(seed, cut, first):
    noise = TurnNoise(seed)
    whole = noise.flow(first, 6, 5)
    parts = [noise.flow(first, cut, 5), noise.flow(first + cut, 6 - cut, 5)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    whole = noise.sine(first, 6, 3, 8)
    parts = [noise.sine(first, cut, 3, 8), noise.sine(first + cut, 6 - cut, 3, 8)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_noise_is_normal_and_differs_between_frames_seeds_and_purposes():
    noise = TurnNoise(1).flow(0, 400, 80)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
    other_seed = TurnNoise(2).flow(0, 400, 80)
    other_purpose = TurnNoise(1).sine(0, 400, 80, 1)
    for other in (other_seed, other_purpose):
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.02


def test_phases_lie_within_a_cycle_and_the_fundamental_starts_at_zero():
    phase = TurnNoise(7).phase(9)
    assert phase[0] == 0
    assert np.all(np.abs(phase) <= 0.5)
    assert len(set(phase)) == 9


@pytest.mark.parametrize("name", ["cosy_n10", "cosy_prompt"])
def test_recorded_noise_follows_the_recipe(name, fixtures_dir):
    case = json.loads((fixtures_dir / "cases" / f"{name}.json").read_text())
    arrays = np.load(fixtures_dir / "cases" / f"{name}.npz")
    noise = RecordedNoise(case["noise_seed"])
    corner = arrays["z_first8"]
    z = noise.flow(0, arrays["mu"].shape[1], 80)
    np.testing.assert_array_equal(z[: corner.shape[0], : corner.shape[1]], corner)
    np.testing.assert_allclose(noise.phase(9) * 2 * np.pi, arrays["phase"], atol=1e-6)


def test_recorded_noise_is_no_noise_for_chunks():
    with pytest.raises(ValueError, match="not from frame 5 on"):
        RecordedNoise(1).flow(5, 2, 80)
