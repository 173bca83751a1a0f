from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.mel_clock import MelClock

CLOCK = MelClock(unit_rate_hz=25, sample_rate_hz=22050, hop_samples=256)


def interpolate(values: np.ndarray, places) -> np.ndarray:
    return (1 - places.weight) * values[places.left] + places.weight * values[places.right]


@pytest.mark.parametrize("units", [1, 10, 38, 40, 41, 100, 733])
def test_whole_utterances_are_interpolated_as_pytorch_does(units):
    values = np.random.default_rng(units).standard_normal(units).astype(np.float32)
    spans = [(0, 20, 68), (20, units - 20, CLOCK.frames(units) - 136), (units - 20, units, 68)]
    if units <= 40:
        spans = [(0, units, CLOCK.frames(units))]
    expected = [
        torch.nn.functional.interpolate(torch.from_numpy(values[a:b])[None, None], size=n, mode="linear")[0, 0]
        for a, b, n in spans
    ]
    np.testing.assert_allclose(interpolate(values, CLOCK.whole(units)), torch.cat(expected), atol=1e-3)


@given(first=st.integers(0, 2000), units=st.integers(1, 120), cut=st.integers(0, 60))
def test_every_window_places_a_frame_equally(first, units, cut):
    wide, narrow = CLOCK.window(first, units + cut), CLOCK.window(first + cut, units)
    values = np.arange(first, first + units + cut, dtype=np.float64)
    expected = interpolate(values, wide)[CLOCK.frames(first + cut) - CLOCK.frames(first) :]
    placed = interpolate(values[cut:], narrow)
    inner = slice(3 if cut else 0, None)  # the first frames may lie before the window's first unit
    np.testing.assert_allclose(placed[inner], expected[inner], atol=1e-3)
    assert len(placed) == CLOCK.frames(first + cut + units) - CLOCK.frames(first + cut)
    np.testing.assert_allclose(placed, expected, atol=0.8)
