"""Audio in front of the speech tokenizer: resampling and the log-mel spectrogram.

Both follow the reference's front end (torchaudio's ``sinc_interp_hann`` resampler and Whisper's 128-bin mel), in numpy.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream_omni.request_error import RequestError

Samples = NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000  # of the speech tokenizer
MEL_BINS = 128
HOP_SAMPLES = 160  # 10 ms
WINDOW_SAMPLES = 400  # 25 ms

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Band-limited resampling of mono ``samples`` [N] to [ceil(N * to_hz / from_hz)], float32.

    A polyphase sinc filter with a Hann window, six zero crossings, cut off at 0.99 of the lower Nyquist frequency.
    """
    divisor = math.gcd(from_hz, to_hz)
    old, new = from_hz // divisor, to_hz // divisor
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if old == new or samples.size == 0:
        return samples
    starts, kernel = _resampling_kernel(old, new)
    taps = kernel.shape[1]
    frames = -(-samples.size // old)  # `new` output samples each
    padded = np.pad(samples, (taps // 2, taps + old))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    resampled = np.empty((frames, new), dtype=np.float32)
    for phase, start in enumerate(starts):
        resampled[:, phase] = windows[start::old][:frames] @ kernel[phase]
    return resampled.reshape(-1)[: -(-samples.size * new // old)]


@lru_cache(maxsize=8)
def _resampling_kernel(old: int, new: int) -> tuple[list[int], Samples]:
    """For each of the ``new`` phases: the first input sample of its window, and its taps [new, 2 * width + 1].

    Only the taps under the window are kept: two rates without a common divisor have thousands of phases.
    """
    base = min(old, new) * _ROLLOFF
    width = math.ceil(_ZERO_CROSSINGS * old / base)
    starts = np.arange(new, dtype=np.int64) * old // new
    taps = starts[:, None] + np.arange(-width, width + 1)
    phases = np.arange(new, dtype=np.float32) / np.float32(new)  # torchaudio rounds here, which shows in quiet mel bins
    t = np.clip((taps / old - phases[:, None]) * base, -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    kernel = np.cos(t * np.pi / (2 * _ZERO_CROSSINGS)) ** 2 * np.sinc(t) * (base / old)
    return starts.tolist(), kernel.astype(np.float32)


def log_mel(samples: Samples) -> NDArray[np.float32]:
    """Whisper's log-mel spectrogram of 16 kHz mono ``samples`` [N]: [128, N // 160], not padded to 30 s.

    Raises RequestError when there are too few samples to reflect at the edges (fewer than 201).
    """
    edge = WINDOW_SAMPLES // 2
    if samples.size <= edge:
        raise RequestError(f"a spectrogram needs more than {edge} samples at {SAMPLE_RATE_HZ} Hz, got {samples.size}")
    padded = np.pad(np.asarray(samples, dtype=np.float32), edge, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    frames = frames[: samples.size // HOP_SAMPLES]  # the last frame is dropped
    spectrum = np.fft.rfft(frames * _hann_window(), axis=1)  # [T, 201]
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    bins = np.log10(np.maximum(mel_filters() @ power.T, np.float32(1e-10)))  # [128, T]
    clipped: NDArray[np.float32] = np.maximum(bins, bins.max() - np.float32(8))
    return (clipped + np.float32(4)) / np.float32(4)


@lru_cache(maxsize=1)
def _hann_window() -> NDArray[np.float32]:
    """Periodic Hann window."""
    phases = 2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(phases)
    return window.astype(np.float32)


def mel_filters(bins: int = MEL_BINS) -> NDArray[np.float32]:
    """Those of the log-mel spectrogram, 0 to 8000 Hz: [bins, 201]."""
    return slaney_filters(bins, SAMPLE_RATE_HZ, WINDOW_SAMPLES, SAMPLE_RATE_HZ / 2)


@lru_cache(maxsize=4)
def slaney_filters(bins: int, rate_hz: int, window_samples: int, highest_hz: float) -> NDArray[np.float32]:
    """Triangular filters on Slaney's mel scale with Slaney's area normalisation, 0 to ``highest_hz``:
    [bins, window_samples // 2 + 1]."""
    corners = _mel_to_hz(np.linspace(0.0, _hz_to_mel(highest_hz), bins + 2))
    hz = np.linspace(0.0, rate_hz / 2, window_samples // 2 + 1)
    low, mid, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = np.maximum(0.0, np.minimum((hz - low) / (mid - low), (high - hz) / (high - mid)))
    filters: NDArray[np.float64] = triangles * 2.0 / (high - low)
    return filters.astype(np.float32)


# The scale is linear (3 mel per 200 Hz) below 1000 Hz = 15 mel, and logarithmic (27 mel per factor 6.4) above.
def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) * 27 / math.log(6.4)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))
