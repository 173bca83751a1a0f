"""The fundamental frequency of speech, which the vocoder learns to predict; by the WORLD vocoder's analysis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_omni.audio import Samples

NEEDS = "pip install 'stream-omni[train]'"
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0


def fundamental_hz(samples: Samples, rate_hz: int, hop_samples: int) -> NDArray[np.float32]:
    """Of each frame of ``samples`` [N], [N // hop_samples]; 0 where nothing vibrates.

    A frame's value is that of its middle, as the vocoder holds it for all samples of the frame.
    Raises RuntimeError when pyworld is not installed.
    """
    try:
        import pyworld
    except ImportError as error:
        raise RuntimeError(f"pyworld is not installed: {NEEDS}") from error
    frames = samples.size // hop_samples
    wave = samples[hop_samples // 2 :].astype(np.float64)  # so that the first value is that of the first frame's middle
    period_ms = 1000 * hop_samples / rate_hz
    rough, times_s = pyworld.dio(wave, rate_hz, f0_floor=_LOWEST_HZ, f0_ceil=_HIGHEST_HZ, frame_period=period_ms)
    found = pyworld.stonemask(wave, rough, times_s, rate_hz)[:frames].astype(np.float32)
    return np.pad(found, (0, frames - found.size))
