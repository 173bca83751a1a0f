"""How alike two signals are, and whether a signal changes more where pieces were joined than elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

HOP_SAMPLES = 256  # one mel frame of CosyVoice
_SAMPLE_RATE_HZ = 22050
_FLOOR = 1e-5  # of a magnitude, as in the vocoder's own mel
_STEP_WINDOW = 512  # short, so that a change at a seam is not spread thin
_MEL_WINDOW, _MEL_CHANNELS = 1024, 80


@dataclass(frozen=True)
class Changes:
    """From frame to frame; entry t is about the boundary before frame t, entry 0 repeats entry 1. Each [T]."""

    energy_step_db: FloatArray
    flux: FloatArray  # 0: the same magnitude spectrum, 1: nothing in common
    kink: FloatArray  # largest second difference of the samples at the boundary: what a click is made of

    @classmethod
    def of(cls, samples: FloatArray) -> Changes:
        """``samples`` [HOP_SAMPLES * T]."""
        spectra = _spectra(samples, _STEP_WINDOW)
        energy_db = 10 * np.log10((spectra**2).mean(axis=1) + _FLOOR**2)
        norms = np.linalg.norm(spectra, axis=1) + _FLOOR
        flux = np.linalg.norm(np.diff(spectra, axis=0), axis=1) / (norms[1:] + norms[:-1])
        bend = np.abs(np.diff(samples, 2, prepend=samples[:1], append=samples[-1:]))  # of each sample's two neighbours
        at = np.arange(HOP_SAMPLES, len(samples), HOP_SAMPLES)
        return cls(*map(_from_second, (np.abs(np.diff(energy_db)), flux, np.maximum(bend[at - 1], bend[at]))))

    def by_name(self) -> Mapping[str, FloatArray]:
        return {"energy_step_db": self.energy_step_db, "flux": self.flux, "kink": self.kink}


@dataclass(frozen=True)
class SeamValues:
    """One quantity of one signal, in units of its median away from seams."""

    at: FloatArray
    elsewhere: FloatArray

    @classmethod
    def split(cls, values: FloatArray, at: NDArray[np.bool_], elsewhere: NDArray[np.bool_]) -> SeamValues:
        middle = np.median(values[elsewhere]) + 1e-12
        return cls(values[at] / middle, values[elsewhere] / middle)

    def ranks(self) -> FloatArray:
        """Share of the signal's other places that are smaller, of each seam value: uniform if seams are like these."""
        ordered = np.sort(self.elsewhere)
        below, above = np.searchsorted(ordered, self.at, "left"), np.searchsorted(ordered, self.at, "right")
        return (below + above) / 2 / len(ordered)


def compare_seams(signals: Sequence[SeamValues]) -> dict[str, float | int]:
    """Pooled over signals. Ratios are seams' to the rest's; ``rank`` is 0.5, give or take ``rank_error``, if a seam
    is a place like any other, and near 1 if seams are the signal's largest changes."""
    at, elsewhere = (np.concatenate([getattr(s, side) for s in signals]) for side in ("at", "elsewhere"))
    ranks = np.concatenate([s.ranks() for s in signals])
    if not len(at):
        return {"count": 0}
    return {
        "count": len(at),
        "median_ratio": float(np.median(at) / np.median(elsewhere)),
        "p95_ratio": float(np.percentile(at, 95) / np.percentile(elsewhere, 95)),
        "max_ratio": float(at.max() / elsewhere.max()),
        "rank": float(ranks.mean()),
        "rank_error": float(np.sqrt(1 / 12 / len(ranks))),
        "above_p95": float((ranks > 0.95).mean()),  # 0.05 if seams are like the rest
    }


def log_mel_db(samples: FloatArray) -> FloatArray:
    """[T, 80] dB of ``samples`` [HOP_SAMPLES * T]."""
    mel = _spectra(samples, _MEL_WINDOW) @ _mel_filters().T
    level: FloatArray = 20 * np.log10(np.maximum(mel, _FLOOR))
    return level


def distance_db(one: FloatArray, other: FloatArray) -> FloatArray:
    """Of two :func:`log_mel_db`, frame by frame: root mean square over channels, [T]."""
    distance: FloatArray = np.sqrt(((one - other) ** 2).mean(axis=1))
    return distance


def level_db(samples: FloatArray) -> float:
    """Root mean square, relative to full scale."""
    return float(20 * np.log10(np.sqrt((samples**2).mean()) + _FLOOR))


def _from_second(steps: FloatArray) -> FloatArray:
    return np.concatenate([steps[:1], steps])


def _spectra(samples: FloatArray, window: int) -> FloatArray:
    """Magnitudes [T, bins], each frame's window centred on it; 1 is a sine of full scale."""
    frames, margin = len(samples) // HOP_SAMPLES, (window - HOP_SAMPLES) // 2
    padded = np.pad(samples, (margin, margin))
    rows = np.lib.stride_tricks.sliding_window_view(padded, window)[::HOP_SAMPLES][:frames]
    shape = np.hanning(window)
    magnitudes: FloatArray = np.abs(np.fft.rfft(rows * shape, axis=1)) * 2 / shape.sum()
    return magnitudes


def _mel_filters() -> FloatArray:
    """Triangles, even on the mel scale up to 8 kHz: [80, bins]."""
    top_mel = 2595 * np.log10(1 + 8000 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top_mel, _MEL_CHANNELS + 2) / 2595) - 1)
    bins_hz = np.fft.rfftfreq(_MEL_WINDOW, 1 / _SAMPLE_RATE_HZ)
    left, middle, right = corners_hz[:-2, None], corners_hz[1:-1, None], corners_hz[2:, None]
    rising, falling = (bins_hz - left) / (middle - left), (right - bins_hz) / (right - middle)
    triangles: FloatArray = np.maximum(0, np.minimum(rising, falling))
    return triangles
