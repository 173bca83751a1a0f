"""Pieces of the output voice's speech for the vocoder's training, and the excitation that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_omni.harmonic_source import frame_phases, harmonic_source
from stream_omni.model_info import VocoderSizes
from stream_omni_demo.speech.takes import Take
from stream_omni_demo.voices.sound import from_pcm


@dataclass(frozen=True, eq=False)
class Crops:
    """B pieces of T frames."""

    mel: Tensor  # [B, 80, T]
    waveform: Tensor  # [B, hop * T]
    f0: NDArray[np.float32]  # [B, T]


class CropMaker:
    def __init__(self, takes: Sequence[Take], frames: int, hop_samples: int) -> None:
        """Raises ValueError when no take has as many frames."""
        self._takes = [take for take in takes if take.frames >= frames]
        if not self._takes:
            raise ValueError(f"no utterance of the output voice has {frames} frames")
        self._frames, self._hop = frames, hop_samples
        places = np.array([take.frames - frames + 1 for take in self._takes])
        self._chances = places / places.sum()

    def batch(self, generator: np.random.Generator, rows: int) -> Crops:
        chosen = [self._takes[i] for i in generator.choice(len(self._takes), rows, p=self._chances)]
        begins = [int(generator.integers(take.frames - self._frames + 1)) for take in chosen]
        spans = [(take, begin, begin + self._frames) for take, begin in zip(chosen, begins, strict=True)]
        mel = np.stack([take.mel[begin:end].T for take, begin, end in spans]).astype(np.float32)
        samples = np.stack([take.samples[self._hop * begin : self._hop * end] for take, begin, end in spans])
        return Crops(
            torch.from_numpy(mel),
            torch.from_numpy(from_pcm(samples)),
            np.stack([take.f0[begin:end] for take, begin, end in spans]),
        )


def plain_source(sizes: VocoderSizes) -> VocoderSizes:
    """With all harmonics equally loud in the excitation: what each must become is for the network to say."""
    return replace(sizes, harmonic_weights=(1.0,) * sizes.harmonics, harmonic_bias=0.0)


def source_of(f0: NDArray[np.float32], sizes: VocoderSizes, generator: np.random.Generator) -> Tensor:
    """As a turn makes it, from phases as they may be in mid-speech. [B, T] to [B, hop * T]."""
    batch, frames = f0.shape
    phase = generator.random((batch, sizes.harmonics))
    noise = generator.standard_normal((batch, sizes.harmonics, sizes.hop_samples * frames), np.float32)
    phases = frame_phases(f0, phase, np.zeros(batch, np.int64), sizes)
    return torch.from_numpy(harmonic_source(f0, phases, noise, sizes))


def disturbed(mel: Tensor, generator: np.random.Generator) -> Tensor:
    """Mels as a flow may make them: half of them unsteady, and a little blurred in time and in frequency."""
    rows = mel.shape[0]
    chosen = torch.from_numpy((generator.random(rows) < 0.5).astype(np.float32))[:, None, None]
    depth, blur, smear = (
        torch.from_numpy(generator.uniform(0, most, (rows, 1, 1)).astype(np.float32)) for most in (0.2, 0.3, 0.3)
    )
    noise = torch.from_numpy(generator.standard_normal(tuple(mel.shape), np.float32))
    made = _mixed(_mixed(mel, blur, 2), smear, 1) + depth * noise
    return mel + chosen * (made - mel)


def _mixed(mel: Tensor, share: Tensor, axis: int) -> Tensor:
    """Each value with ``share`` of the mean of its neighbours along ``axis``."""
    index = torch.arange(mel.shape[axis])
    before, after = index.sub(1).clamp(min=0), index.add(1).clamp(max=mel.shape[axis] - 1)
    around = (mel.index_select(axis, before) + mel.index_select(axis, after)) / 2
    return (1 - share) * mel + share * around
