"""Spectra of 22.05 kHz speech that a gradient passes: the vocoder's mel (CosyVoice's recipe), and the distance of two
waveforms that have no common phase."""

from __future__ import annotations

import torch
from torch import Tensor

from stream_omni.audio import slaney_filters
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


def _filters(rate_hz: int) -> Tensor:
    """[80, bins]"""
    return torch.from_numpy(slaney_filters(MEL_CHANNELS, rate_hz, WINDOW_SAMPLES, HIGHEST_HZ))


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
