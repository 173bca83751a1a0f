"""Units on the mel's timeline: how many frames units make, and which units each frame lies between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_omni.model_info import FlowSizes, VocoderSizes

EDGE_UNITS = 20  # a whole utterance of more than two edges has its edges interpolated on their own


@dataclass(frozen=True)
class Places:
    """Frame t = (1 - weight) * unit[left] + weight * unit[right]; each [T], units counted from the window's first."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    weight: NDArray[np.float32]

    @property
    def frames(self) -> int:
        return len(self.left)


@dataclass(frozen=True)
class MelClock:
    unit_rate_hz: int
    sample_rate_hz: int
    hop_samples: int

    @classmethod
    def of(cls, flow: FlowSizes, vocoder: VocoderSizes) -> MelClock:
        return cls(flow.unit_rate_hz, vocoder.sample_rate_hz, vocoder.hop_samples)

    def frames(self, units: int) -> int:
        """Frames that the first ``units`` units make; in double precision and this order, as the reference counts."""
        return int(units / self.unit_rate_hz * self.sample_rate_hz / self.hop_samples)

    def whole(self, units: int, prompt_units: int = 0, prompt_frames: int = 0) -> Places:
        """An utterance at once, as the reference places it: a prompt is stretched to its mel's length; of a long
        utterance the edges have a rate of their own."""
        if units > 2 * EDGE_UNITS:
            edge = self.frames(EDGE_UNITS)
            spans = [
                (EDGE_UNITS, edge),
                (units - 2 * EDGE_UNITS, self.frames(units) - 2 * edge),
                (EDGE_UNITS, edge),
            ]
        else:
            spans = [(units, self.frames(units))]
        if prompt_units:
            spans.insert(0, (prompt_units, prompt_frames))
        places, first = [], 0
        for count, frames in spans:
            places.append(_stretch(first, count, frames))
            first += count
        return Places(
            np.concatenate([p.left for p in places]),
            np.concatenate([p.right for p in places]),
            np.concatenate([p.weight for p in places]),
        )

    def window(self, first_unit: int, units: int) -> Places:
        """Part of an utterance whose end is not known yet: every frame where its own number puts it, so that all
        windows that hold a frame place it equally."""
        begin, end = self.frames(first_unit), self.frames(first_unit + units)
        frames_per_unit = self.sample_rate_hz / self.hop_samples / self.unit_rate_hz
        position = (np.arange(begin, end) + 0.5) / frames_per_unit - 0.5 - first_unit
        position = np.clip(position, 0, units - 1)
        left = position.astype(np.int64)
        return Places(left, np.minimum(left + 1, units - 1), (position - left).astype(np.float32))


def _stretch(first_unit: int, units: int, frames: int) -> Places:
    """Linear interpolation of ``units`` to ``frames`` with the centres of the outer ones aligned (torch's
    ``align_corners=False``), in single precision like there."""
    scale = np.float32(units) / np.float32(frames)
    position = np.maximum(
        (np.arange(frames, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5), np.float32(0)
    )
    left = np.minimum(position.astype(np.int64), units - 1)
    right = np.minimum(left + 1, units - 1)
    return Places(first_unit + left, first_unit + right, position - left.astype(np.float32))
