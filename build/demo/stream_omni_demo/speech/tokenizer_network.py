"""The demo's speech tokenizer: Whisper's log-mel to units at 25 Hz.

In the real checkpoint it is an ONNX file, so its inside is ours: two strided convolutions, convolution blocks
(ConvNeXt, Liu et al. 2022) that hear a third of a second to either side, and a finite scalar quantizer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni.audio import MEL_BINS
from stream_omni_demo.speech.quantizer import Quantizer

UNIT_S = 0.04
LAYER_SCALE = 0.1  # of a block's branch at first


@dataclass(frozen=True)
class TokenizerSizes:
    levels: tuple[int, ...]
    fast_width: int = 128  # at 50 frames a second
    width: int = 192  # at 25
    fast_kernels: tuple[int, ...] = (7,)  # one block each
    kernels: tuple[int, ...] = (5, 5, 3, 3)

    @property
    def reach_frames(self) -> int:
        """Log-mel frames (10 ms) before and after a unit's own, 4 times its number, that it depends on."""
        fast = sum(kernel // 2 for kernel in self.fast_kernels)
        slow = sum(kernel // 2 for kernel in self.kernels)
        return 1 + 2 * (fast + 1) + 4 * slow


class Block(nn.Module):
    """[B, width, N] to the same: a convolution of each channel, then a feed-forward of each frame, as a residual."""

    def __init__(self, width: int, kernel: int, factor: int = 4) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, factor * width)
        self.narrow = nn.Linear(factor * width, width)
        self.scale = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.mix(x).transpose(1, 2))
        branch: Tensor = self.narrow(F.gelu(self.widen(hidden))) * self.scale
        return x + branch.transpose(1, 2)


class SpeechTokenizer(nn.Module):
    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.enter = nn.Conv1d(MEL_BINS, sizes.fast_width, 3, stride=2, padding=1)
        self.fast = nn.ModuleList([Block(sizes.fast_width, kernel) for kernel in sizes.fast_kernels])
        self.slower = nn.Conv1d(sizes.fast_width, sizes.width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList([Block(sizes.width, kernel) for kernel in sizes.kernels])
        self.norm = nn.LayerNorm(sizes.width)
        self.project = nn.Linear(sizes.width, len(sizes.levels))
        # At first all frames look alike, and would be one unit; centred and stretched, they use all levels
        self.spread = nn.BatchNorm1d(len(sizes.levels), affine=False)
        self.quantizer = Quantizer(sizes.levels)

    def latent(self, feats: Tensor, feats_length: Tensor) -> Tensor:
        """``feats`` [B, 128, T], of which the first ``feats_length`` [B] frames count, to what is quantized:
        [B, axes, ceil(ceil(T / 2) / 2)].

        Frames that do not count are zero in every layer, so that they change no unit of those that do.
        """
        length = feats_length[:, None, None].to(torch.int64)
        x = F.gelu(self.enter(_first(feats, length)))
        length = (length + 1) // 2
        for block in self.fast:
            x = block(_first(x, length))
        x = self.slower(_first(x, length))
        length = (length + 1) // 2
        for block in self.blocks:
            x = block(_first(x, length))
        latent: Tensor = self.spread(self.project(self.norm(x.transpose(1, 2))).transpose(1, 2))
        return latent

    def codes(self, feats: Tensor, feats_length: Tensor) -> Tensor:
        """What the units stand for, in -1..1, with a gradient: [B, axes, N]."""
        return self.quantizer.rounded(self.latent(feats, feats_length))

    def forward(self, feats: Tensor, feats_length: Tensor) -> Tensor:
        """Units, int64 [B, ceil(ceil(T / 2) / 2)]."""
        return self.quantizer.unit(self.quantizer.indices(self.latent(feats, feats_length)))


def unit_count(frames: int) -> int:
    """Units of so many log-mel frames."""
    return ((frames + 1) // 2 + 1) // 2


def _first(x: Tensor, length: Tensor) -> Tensor:
    """The first ``length`` [B, 1, 1] frames of [B, C, T]; zero after them."""
    return x.masked_fill(torch.arange(x.shape[2], device=x.device) >= length, 0.0)
