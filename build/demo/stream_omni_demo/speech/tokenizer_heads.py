"""What a unit must be good for, in training only: telling what was said whoever says it, as letters and as a recogniser
has it, and being spoken again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni_demo.speech.tokenizer_network import Block

_USUAL_LOG_MEL = -6.0
SPELLING_RATE = 2  # letters' places to a unit: fast speech has nearly as many letters as units, and repeated ones


@dataclass(frozen=True)
class HeadSizes:
    axes: int  # of the quantizer
    letters: int  # with the blank
    taught: int  # axes of what the recogniser made of it
    mel_channels: int
    width: int = 160
    kernels: tuple[int, ...] = (7, 7)  # of each head's blocks


class ListeningHead(nn.Module):
    """Codes to letters, for CTC, and to what the recogniser made of each unit."""

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__()
        self.enter = nn.Conv1d(sizes.axes, sizes.width, 1)
        self.blocks = nn.ModuleList([Block(sizes.width, kernel, factor=3) for kernel in sizes.kernels])
        self.norm = nn.LayerNorm(sizes.width)
        self.spell = nn.Linear(sizes.width, SPELLING_RATE * sizes.letters)
        self.imitate = nn.Linear(sizes.width, sizes.taught)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """[B, axes, N] to logarithms of probabilities [B, SPELLING_RATE * N, letters], and [B, N, taught]."""
        x = self.enter(codes)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x.transpose(1, 2))
        scores = self.spell(x).unflatten(-1, (SPELLING_RATE, -1)).flatten(1, 2)
        return F.log_softmax(scores, dim=-1), self.imitate(x)


class SpeakingHead(nn.Module):
    """Codes of the voice that answers to its mel as it was before anything disturbed it. The mel's low channels tell
    single harmonics, so it has the melody too."""

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__()
        self.enter = nn.Conv1d(sizes.axes, sizes.width, 1)
        self.blocks = nn.ModuleList([Block(sizes.width, kernel, factor=3) for kernel in sizes.kernels])
        self.fine = nn.ModuleList([Block(sizes.width, 5, factor=1)])  # at the mel's rate
        self.norm = nn.LayerNorm(sizes.width)
        self.leave = nn.Linear(sizes.width, sizes.mel_channels)
        nn.init.constant_(self.leave.bias, _USUAL_LOG_MEL)

    def forward(self, codes: Tensor, left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
        """``codes`` [B, axes, N], places of the frames [B, F] (:class:`stream_omni.mel_clock.Places`) to the
        logarithmic mel [B, channels, F]."""
        x = self.enter(codes)
        for block in self.blocks:
            x = block(x)
        x = (1 - weight)[:, None] * _pick(x, left) + weight[:, None] * _pick(x, right)
        for block in self.fine:
            x = block(x)
        mel: Tensor = self.leave(self.norm(x.transpose(1, 2)))
        return mel.transpose(1, 2)


def _pick(x: Tensor, index: Tensor) -> Tensor:
    """Columns of [B, C, N] at [B, F]: [B, C, F]."""
    return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))


def spelling_loss(spelled: Tensor, units: Tensor, letters: Tensor, letter_counts: Tensor) -> Tensor:
    """CTC, mean over letters. ``spelled`` [B, SPELLING_RATE * N, letters]; ``units`` [B] that count; ``letters``
    [B, most] of which ``letter_counts`` [B]."""
    places = SPELLING_RATE * units
    return F.ctc_loss(spelled.transpose(0, 1), letters, places, letter_counts, blank=0, zero_infinity=True)


def imitation_loss(imitated: Tensor, taught: Tensor, is_taught: Tensor) -> Tensor:
    """Mean squared error of [B, N, axes] where ``is_taught`` [B, N]."""
    return ((imitated - taught).square().mean(-1) * is_taught).sum() / is_taught.sum()


def speaking_loss(mel: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """Mean absolute error of the first ``counts`` [B] frames of [B, channels, T]."""
    inside = torch.arange(mel.shape[2])[None] < counts[:, None]
    return ((mel - wanted).abs().mean(dim=1) * inside).sum() / inside.sum()
