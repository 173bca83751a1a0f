from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.audio import log_mel, mel_filters, resample
from stream_omni.request_error import RequestError


def _sine(hz: float, rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz).astype(np.float32)


def test_recorded_case(fixtures_dir: Path) -> None:
    cases = fixtures_dir / "cases"
    case = json.loads((cases / "logmel_chirp_speech.json").read_text())
    arrays = np.load(cases / "logmel_chirp_speech.npz")
    samples, rate_hz = soundfile.read(cases / case["wav"], dtype="float32")
    resampled = resample(samples, rate_hz, 16_000)
    features = log_mel(resampled)
    assert resampled.dtype == features.dtype == np.float32
    assert resampled.size == case["n_samples_16k"]
    assert features.shape == (128, case["n_frames"])
    assert math.ceil(math.ceil(features.shape[1] / 2) / 2) == case["expected_units"]
    np.testing.assert_allclose(resampled, arrays["wav16k"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(features, arrays["feats"], rtol=0, atol=2e-4)


@given(
    samples=st.integers(1, 3000),
    from_hz=st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 47999, 48000]),
    to_hz=st.sampled_from([8000, 16000, 22050]),
)
def test_resampled_length_is_rounded_up(samples: int, from_hz: int, to_hz: int) -> None:
    assert resample(np.zeros(samples, np.float32), from_hz, to_hz).size == -(-samples * to_hz // from_hz)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 47999, 48000])
def test_resampling_keeps_a_tone(rate_hz: int) -> None:
    resampled, expected = resample(_sine(440, rate_hz), rate_hz, 16_000), _sine(440, 16_000)
    middle = slice(1000, 7000)  # the filter needs its neighbours
    np.testing.assert_allclose(resampled[middle], expected[middle], atol=5e-3)


def test_resampling_removes_what_the_new_rate_cannot_carry() -> None:
    assert np.abs(resample(_sine(12_000, 48_000), 48_000, 16_000)[100:-100]).max() < 1e-2


def test_equal_rates_change_nothing() -> None:
    samples = _sine(300, 16_000)
    assert np.array_equal(resample(samples, 16_000, 16_000), samples)


def test_mel_filters_peak_where_the_tone_is() -> None:
    assert mel_filters().shape == (128, 201)
    loudest = log_mel(_sine(1000, 16_000)).mean(axis=1).argmax()
    assert loudest == mel_filters()[:, 25].argmax()  # bin 25 of 40 Hz each


def test_silence_is_flat() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(1600, np.float32)), -1.5, atol=1e-6)


def test_too_short_for_a_spectrogram() -> None:
    with pytest.raises(RequestError, match="more than 200 samples at 16000 Hz, got 200"):
        log_mel(np.zeros(200, np.float32))
    assert log_mel(np.zeros(201, np.float32)).shape == (128, 1)
