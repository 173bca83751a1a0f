"""Windows of speech for the flow's training: units, the frames that they make, and what of these is known already.

A served flow sees whole answers, and in streaming windows that begin and end in mid-speech, whose first frames an
earlier window has settled (:mod:`stream_omni.speech_stream`). All rows of a batch are of one length, because the flow's
attention and norms know no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_omni.chunk_schedule import ChunkSchedule, vocoder_reach_frames
from stream_omni.mel_clock import MelClock, Places
from stream_omni.model_info import FlowSizes, VocoderSizes

WHOLE_SHARE = 0.35  # of batches that are whole utterances
EDGE_SHARE = 0.25  # of windows that begin where the answer begins; and of those that end where it ends
KNOWN_SHARE = 0.5  # of rows with known frames, as in CosyVoice's training
PREFIX_SHARE = 0.3  # such a row knows up to this much of its frames, as there, or what a streamed chunk knows


@dataclass(frozen=True, eq=False)
class Spoken:
    """An utterance of the output voice. The mel has as many frames as the clock counts for the units."""

    units: NDArray[np.int64]  # [N]
    mel: NDArray[np.float32]  # [80, frames]


@dataclass(frozen=True, eq=False)
class Windows:
    """B windows of N units and T frames."""

    units: Tensor  # int64 [B, N]
    left: Tensor  # int64 [B, T]
    right: Tensor  # int64 [B, T]
    weight: Tensor  # [B, T]
    mel: Tensor  # [B, 80, T]
    known: Tensor  # bool [B, 1, T]


class WindowMaker:
    def __init__(self, utterances: Sequence[Spoken], flow: FlowSizes, vocoder: VocoderSizes) -> None:
        self._utterances, self._clock = utterances, MelClock.of(flow, vocoder)
        self._counts = np.array([len(utterance.units) for utterance in utterances])
        schedule = ChunkSchedule()
        around = schedule.context_units + schedule.lookahead_units
        self._least_units = schedule.first_units + schedule.lookahead_units + 1
        self._most_units = min(schedule.largest_units + around, int(self._counts.max()))
        # what a chunk knows: its context, and as far beyond it as the chunk before was heard
        self._settled_frames = self._clock.frames(schedule.context_units) + vocoder_reach_frames(vocoder)

    def batch(self, generator: np.random.Generator, rows: int) -> Windows:
        """``rows`` windows at most: of whole utterances there may be fewer that are of one length."""
        whole = generator.random() < WHOLE_SHARE
        cuts = self._whole(generator, rows) if whole else self._parts(generator, rows)
        return self._windows(cuts, generator)

    def _whole(self, generator: np.random.Generator, rows: int) -> list[tuple[int, int, Places]]:
        """Utterance, first unit and places of each row."""
        units = self._counts[generator.integers(len(self._counts))]
        alike = np.flatnonzero(self._counts == units)
        chosen = generator.permutation(alike)[:rows]
        return [(int(i), 0, self._clock.whole(int(units))) for i in chosen]

    def _parts(self, generator: np.random.Generator, rows: int) -> list[tuple[int, int, Places]]:
        # more of the short windows: an answer's first chunks, which are heard in silence
        units = int(np.exp(generator.uniform(np.log(self._least_units), np.log(self._most_units + 1))))
        units = min(units, int(np.sort(self._counts)[-min(rows, len(self._counts))]))
        long_enough = np.flatnonzero(self._counts >= units)
        weights = (self._counts[long_enough] - units + 1).astype(np.float64)
        chosen = generator.choice(long_enough, rows, p=weights / weights.sum())
        first = generator.integers(self._counts[chosen] - units + 1)
        edge = generator.random(rows)  # a streamed answer of a few words has few windows that are at neither edge
        first[edge < EDGE_SHARE] = 0
        last = edge > 1 - EDGE_SHARE
        first[last] = self._counts[chosen][last] - units
        counts = [self._clock.frames(int(f) + units) - self._clock.frames(int(f)) for f in first]
        frames = max(set(counts), key=counts.count)  # there are two possible counts, one more than the other
        return [
            (int(i), int(f), self._clock.window(int(f), units))
            for i, f, count in zip(chosen, first, counts, strict=True)
            if count == frames
        ]

    def _windows(self, cuts: Sequence[tuple[int, int, Places]], generator: np.random.Generator) -> Windows:
        frames = cuts[0][2].frames
        units, mels = [], []
        for i, first, placed in cuts:
            begin, spoken = self._clock.frames(first), self._utterances[i]
            units.append(spoken.units[first : first + 1 + int(placed.right[-1])])
            mels.append(spoken.mel[:, begin : begin + frames])
        settled = np.array([self._known_frames(generator, frames) for _ in cuts])
        places = [placed for _, _, placed in cuts]
        return Windows(
            units=torch.from_numpy(np.stack(units)),
            left=torch.from_numpy(np.stack([placed.left for placed in places])),
            right=torch.from_numpy(np.stack([placed.right for placed in places])),
            weight=torch.from_numpy(np.stack([placed.weight for placed in places])),
            mel=torch.from_numpy(np.stack(mels)),
            known=torch.from_numpy((np.arange(frames) < settled[:, None])[:, None]),
        )

    def _known_frames(self, generator: np.random.Generator, frames: int) -> int:
        if generator.random() >= KNOWN_SHARE:
            return 0
        if generator.random() < 0.5 and self._settled_frames < frames:
            return self._settled_frames
        return int(generator.integers(int(PREFIX_SHARE * frames) + 1))
