"""The vocoder's excitation: harmonics of F0 with noise, mixed to one signal (Wang et al., "Neural source-filter").

On the host, in double precision where phases add up: a phase summed in single precision drifts audibly within seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_omni.model_info import VocoderSizes
from stream_omni.runtime.session import Array


def frame_phases(f0: Array, phase: Array, at: Array, sizes: VocoderSizes) -> NDArray[np.float64]:
    """Phases in cycles at the beginning of each frame, and after the last: [B, T+1, harmonics].

    ``f0`` [B, T] Hz, constant within a frame. ``phase`` [B, harmonics] holds at the beginning of frame ``at`` [B], so
    frames before it are counted back from there.
    """
    cycles = np.multiply.outer(f0.astype(np.float64) * sizes.hop_samples / sizes.sample_rate_hz, _multiples(sizes))
    begun = np.concatenate([np.zeros_like(cycles[:, :1]), np.cumsum(cycles, axis=1)], axis=1)
    anchor = begun[np.arange(len(begun)), at][:, None]
    phases: NDArray[np.float64] = (begun - anchor + phase[:, None]) % 1.0
    return phases


def harmonic_source(f0: Array, phases: Array, noise: Array, sizes: VocoderSizes) -> NDArray[np.float32]:
    """[B, hop * T] in -1..1, from :func:`frame_phases` and normal ``noise`` [B, harmonics, hop * T].

    Unvoiced frames have noise only, and more of it.
    """
    hop, (batch, frames) = sizes.hop_samples, f0.shape
    elapsed = np.arange(1, hop + 1) / sizes.sample_rate_hz  # [hop], seconds into the frame after each sample
    frequency = f0.astype(np.float64)[:, None] * _multiples(sizes)[:, None]  # [B, harmonics, T]
    cycles = phases[:, :-1].transpose(0, 2, 1)[..., None] + frequency[..., None] * elapsed
    sines = np.sin(((cycles % 1.0) * (2 * np.pi)).astype(np.float32)) * np.float32(sizes.sine_amplitude)
    voiced = (f0 > sizes.voiced_threshold_hz).astype(np.float32)[:, None, :, None]  # [B, 1, T, 1]
    deviation = voiced * np.float32(sizes.noise_sigma) + (1 - voiced) * np.float32(sizes.sine_amplitude / 3)
    mixed = sines * voiced + deviation * noise.reshape(batch, sizes.harmonics, frames, hop)
    weights = np.array(sizes.harmonic_weights, np.float32)[:, None, None]
    signal = np.tanh((mixed * weights).sum(axis=1) + np.float32(sizes.harmonic_bias))
    return np.ascontiguousarray(signal.reshape(batch, frames * hop), np.float32)


def _multiples(sizes: VocoderSizes) -> NDArray[np.float64]:
    return np.arange(1, sizes.harmonics + 1, dtype=np.float64)
