from __future__ import annotations

import numpy as np
import pytest
from stream_omni_demo.voices.sound import (
    LARGEST,
    LEVEL,
    MARGIN_S,
    Sound,
    at_rate,
    fast_size,
    from_pcm,
    level,
    to_pcm,
    trim,
)

from stream_omni.audio import Samples


def _tone(hz: float, rate_hz: int, seconds: float, size: float = 0.5) -> Samples:
    return (size * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


@pytest.mark.parametrize("silence_s", [0.0, 0.01, 0.7])
def test_the_margin_is_the_same_however_much_silence_there_was(silence_s: float) -> None:
    silence = np.zeros(round(silence_s * 16_000), np.float32)
    word = _tone(440, 16_000, 0.3) + np.float32(0.1)
    trimmed = trim(Sound(np.concatenate([silence, word, silence, silence]), 16_000))
    margin = round(MARGIN_S * 16_000)
    np.testing.assert_array_equal(trimmed.samples[margin:-margin], word)
    assert not trimmed.samples[:margin].any()
    assert not trimmed.samples[-margin:].any()


def test_silence_cannot_be_trimmed() -> None:
    with pytest.raises(ValueError, match=r"0\.50 s of silence"):
        trim(Sound(np.zeros(8000, np.float32), 16_000))


def test_level_is_a_root_mean_square_that_no_peak_exceeds() -> None:
    even = level(Sound(_tone(300, 16_000, 1.0, 0.01), 16_000))
    assert np.sqrt(np.mean(even.samples**2)) == pytest.approx(LEVEL, rel=1e-4)
    click = np.zeros(16_000, np.float32)
    click[100] = 0.5
    assert np.abs(level(Sound(click, 16_000)).samples).max() == pytest.approx(LARGEST)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(32_000, 22_050), (24_000, 16_000), (16_000, 22_050), (22_050, 16_000)])
def test_a_tone_is_the_same_tone_at_another_rate(from_hz: int, to_hz: int) -> None:
    sound = at_rate(Sound(_tone(1000, from_hz, 1.0), from_hz), to_hz)
    wanted = _tone(1000, to_hz, 1.0)
    assert (sound.rate_hz, sound.samples.shape) == (to_hz, wanted.shape)
    inner = slice(to_hz // 10, -to_hz // 10)
    np.testing.assert_allclose(sound.samples[inner], wanted[inner], atol=2e-3)


def test_nothing_appears_above_what_the_lower_rate_can_hold() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32)
    sound = at_rate(Sound(noise, 16_000), 22_050)
    spectrum = np.abs(np.fft.rfft(sound.samples * np.hanning(sound.samples.size)))
    hz = np.fft.rfftfreq(sound.samples.size, 1 / 22_050)
    assert spectrum[hz > 8100].max() < 0.01 * spectrum[hz < 7900].mean()


def test_the_same_rate_changes_nothing() -> None:
    sound = Sound(_tone(100, 16_000, 0.1), 16_000)
    assert at_rate(sound, 16_000) is sound


def test_fast_sizes_are_the_next_products_of_small_primes() -> None:
    def is_fast(size: int) -> bool:
        for prime in (2, 3, 5):
            while size % prime == 0:
                size //= prime
        return size == 1

    for least in (1, 2, 7, 11, 97, 1000, 4801, 57_601):
        assert fast_size(least) == next(size for size in range(least, 2 * least + 1) if is_fast(size))


def test_pcm_keeps_a_sample_to_its_last_bit() -> None:
    pcm = np.arange(-32767, 32768, 13).astype(np.int16)
    np.testing.assert_array_equal(to_pcm(from_pcm(pcm)), pcm)
    np.testing.assert_array_equal(to_pcm(np.array([-3.0, 3.0], np.float32)), [-32767, 32767])
