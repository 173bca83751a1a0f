from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyworld", reason="pyworld is of the extra `train`")
from stream_omni_demo.voices.pitch import fundamental_hz


def test_a_rising_voice_is_followed_to_the_middle_of_each_frame() -> None:
    rate_hz, hop_samples = 22_050, 256
    seconds = np.arange(rate_hz) / rate_hz
    cycles = 150 * seconds + 50 * seconds**2  # 150 to 250 Hz in a second
    voice = sum(np.sin(2 * np.pi * n * cycles) / n for n in range(1, 10))
    found = fundamental_hz((0.1 * np.asarray(voice)).astype(np.float32), rate_hz, hop_samples)
    assert found.shape == (rate_hz // hop_samples,)
    middles_s = (np.arange(found.size) + 0.5) * hop_samples / rate_hz
    inner = slice(8, -8)
    np.testing.assert_allclose(found[inner], 150 + 100 * middles_s[inner], rtol=0.01)


def test_noise_has_no_pitch() -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 11_025).astype(np.float32)
    assert (fundamental_hz(noise, 22_050, 256) == 0).mean() > 0.9
