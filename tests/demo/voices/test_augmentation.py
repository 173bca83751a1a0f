from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stream_omni_demo.voices.augmentation import Augmentation, Surroundings
from stream_omni_demo.voices.noise import noises

from stream_omni.audio import Samples

RATE_HZ = 16_000
QUESTION = Path(__file__).parents[3] / "build" / "demo" / "media" / "question.wav"
NOTHING = Surroundings(
    speed=1.0,
    decay_s=None,
    echo_db=-10.0,
    lowest_hz=None,
    highest_hz=None,
    before_s=0.0,
    after_s=0.0,
    noise=None,
    noise_db=20.0,
    gain_db=0.0,
    clipped_at=None,
)


@pytest.fixture(scope="module")
def speech() -> Samples:
    samples, rate_hz = soundfile.read(QUESTION, dtype="float32")
    assert rate_hz == RATE_HZ
    return np.asarray(samples)


@pytest.fixture(scope="module")
def augmentation(speech: Samples) -> Augmentation:
    return Augmentation(RATE_HZ, noises(RATE_HZ, [speech, speech[::2]], seed=0))


def _apply(augmentation: Augmentation, samples: Samples, **changes: float | str) -> Samples:
    where = dataclasses.replace(NOTHING, **changes)  # type: ignore[arg-type]
    return augmentation.apply(samples, where, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_samples(augmentation: Augmentation, speech: Samples) -> None:
    first, again, other = (augmentation(speech, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_what_is_drawn_stays_audible_and_unclipped(augmentation: Augmentation, speech: Samples) -> None:
    for seed in range(60):
        heard = augmentation(speech, np.random.default_rng(seed))
        assert heard.dtype == np.float32
        assert np.isfinite(heard).all()
        assert np.abs(heard).max() <= 1.0 + 1e-6
        assert np.sqrt(np.mean(heard**2)) > 1e-3
        seconds = (heard.size - speech.size) / RATE_HZ
        assert -0.1 < seconds < 2.2  # 0.2 to 1.6 s of pauses, a tenth of speed, a room's tail


def test_nothing_changes_nothing(augmentation: Augmentation, speech: Samples) -> None:
    np.testing.assert_allclose(_apply(augmentation, speech), speech, atol=1e-6)


@pytest.mark.parametrize("kind", ["white", "pink", "babble"])
@pytest.mark.parametrize("noise_db", [5.0, 25.0])
def test_noise_lies_as_far_below_the_speech_as_it_should(
    augmentation: Augmentation, speech: Samples, kind: str, noise_db: float
) -> None:
    noise = _apply(augmentation, speech, noise=kind, noise_db=noise_db) - speech
    measured_db = 10 * np.log10(np.mean(speech**2) / np.mean(noise**2))
    assert measured_db == pytest.approx(noise_db, abs=0.1)


def test_pauses_are_added_at_both_ends(augmentation: Augmentation, speech: Samples) -> None:
    heard = _apply(augmentation, speech, before_s=0.25, after_s=0.5)
    np.testing.assert_allclose(heard[4000:-8000], speech, atol=1e-6)
    assert not heard[:4000].any()
    assert not heard[-8000:].any()


def test_speed_moves_length_and_pitch(augmentation: Augmentation) -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(32_000) / RATE_HZ).astype(np.float32) * np.float32(0.5)
    faster = _apply(augmentation, tone, speed=1.05)
    factor = tone.size / faster.size
    assert factor == pytest.approx(1.05, abs=0.02)  # as near as fast transforms allow
    peak_hz = np.abs(np.fft.rfft(faster * np.hanning(faster.size))).argmax() * RATE_HZ / faster.size
    assert peak_hz == pytest.approx(500 * factor, abs=1.0)


def test_a_room_adds_its_echo_after_the_sound(augmentation: Augmentation) -> None:
    click = np.zeros(8000, np.float32)
    click[4000] = 0.5
    heard = _apply(augmentation, click, decay_s=0.3, echo_db=-6.0)
    np.testing.assert_allclose(heard[:4000], 0.0, atol=1e-6)
    echo_db = 10 * np.log10(np.sum(heard[4001:] ** 2) / heard[4000] ** 2)
    assert echo_db == pytest.approx(-6.0, abs=0.5)
    assert np.sum(heard[4001:5600] ** 2) > 4 * np.sum(heard[5600:7200] ** 2)


def test_a_band_is_what_is_left_of_noise(augmentation: Augmentation) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 32_000).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(_apply(augmentation, noise, lowest_hz=300.0, highest_hz=3400.0))) ** 2
    hz = np.fft.rfftfreq(32_000, 1 / RATE_HZ)
    inside = spectrum[(hz > 800) & (hz < 2500)].mean()
    assert spectrum[hz < 100].mean() < 0.01 * inside
    assert spectrum[hz > 6500].mean() < 0.01 * inside


def test_clipping_is_soft_and_below_its_limit(augmentation: Augmentation, speech: Samples) -> None:
    heard = _apply(augmentation, speech, clipped_at=0.5)
    limit = 0.5 * np.abs(speech).max()
    assert np.abs(heard).max() <= limit
    quiet = np.abs(speech) < 0.1 * limit
    np.testing.assert_allclose(heard[quiet], speech[quiet], atol=0.01 * limit)


def test_gain_is_in_decibels_and_never_clips(augmentation: Augmentation, speech: Samples) -> None:
    np.testing.assert_allclose(_apply(augmentation, speech, gain_db=-20.0), speech * 0.1, atol=1e-6)
    assert np.abs(_apply(augmentation, speech, gain_db=20.0)).max() == pytest.approx(1.0)


def test_noises_are_as_loud_as_each_other(speech: Samples) -> None:
    made = noises(RATE_HZ, [speech], seed=3)
    assert sorted(made) == ["babble", "pink", "white"]
    assert sorted(noises(RATE_HZ, [], seed=3)) == ["pink", "white"]
    for wave in made.values():
        assert np.sqrt(np.mean(wave**2)) == pytest.approx(1.0, rel=1e-3)
