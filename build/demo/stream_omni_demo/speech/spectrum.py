"""Spectra of 22.05 kHz speech that a gradient passes: the vocoder's mel (CosyVoice's recipe), and the distance of two
waveforms that have no common phase."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_omni.model_info import VocoderSizes

MEL_CHANNELS = 80
WINDOW_SAMPLES = 1024
HIGHEST_HZ = 8000.0
FAINT = 1e-4  # root mean square of noise that nobody hears beside speech, which has 0.1
QUIETEST = 1e-5  # magnitude in a mel channel; its logarithm is what silence reads as

RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128), (256, 64), (96, 24))  # window and hop in samples


def log_mel(waveform: Tensor, sizes: VocoderSizes) -> Tensor:
    """Natural logarithm of the mel magnitudes: [B, N] to [B, 80, N // hop]. Frame t is about the samples of hop t."""
    hop = sizes.hop_samples
    edge = (WINDOW_SAMPLES - hop) // 2
    padded = torch.nn.functional.pad(waveform[:, None], (edge, edge), mode="reflect")[:, 0]
    window = torch.hann_window(WINDOW_SAMPLES)
    spectrum = torch.stft(padded, WINDOW_SAMPLES, hop, window=window, center=False, return_complex=True)
    magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
    return (_filters(sizes.sample_rate_hz) @ magnitude).clamp(min=QUIETEST).log()


@lru_cache(maxsize=2)
def _filters(rate_hz: int) -> Tensor:
    """Triangles on Slaney's mel scale with Slaney's area normalisation: [80, bins]."""
    corners = _mel_to_hz(np.linspace(0.0, _hz_to_mel(HIGHEST_HZ), MEL_CHANNELS + 2))
    hz = np.linspace(0.0, rate_hz / 2, WINDOW_SAMPLES // 2 + 1)
    low, mid, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = np.maximum(0.0, np.minimum((hz - low) / (mid - low), (high - hz) / (high - mid)))
    return torch.from_numpy((triangles * 2.0 / (high - low)).astype(np.float32))


# Linear (3 mel per 200 Hz) below 1000 Hz = 15 mel, and logarithmic (27 mel per factor 6.4) above
def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else float(15 + np.log(hz / 1000) * 27 / np.log(6.4))


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def spectral_distance(made: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Of waveforms [B, N], mean over several resolutions: the distance of logarithmic magnitudes, and that of linear
    ones, relative to how large they are."""
    logarithmic, linear = [], []
    for size, hop in RESOLUTIONS:
        one, other = _magnitudes(made, size, hop), _magnitudes(wanted, size, hop)
        logarithmic.append((one.log() - other.log()).abs().mean())
        linear.append((one - other).abs().sum() / other.sum())
    return torch.stack(logarithmic).mean(), torch.stack(linear).mean()


def _magnitudes(waveform: Tensor, size: int, hop: int) -> Tensor:
    spectrum = torch.stft(waveform, size, hop, window=torch.hann_window(size), return_complex=True)
    floor = FAINT**2 * size  # of white noise's squared magnitude
    return (spectrum.real.square() + spectrum.imag.square() + floor).sqrt()
