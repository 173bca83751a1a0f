"""Finite scalar quantization (Mentzer et al. 2023): a few bounded numbers, each rounded to a few levels, are a code."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

NORMAL_SLOPE = 1.702  # sigmoid(1.702 x) is a normal deviate's distribution function: all levels are used alike


class Quantizer(nn.Module):
    """Unit = mixed radix of the levels' indices, the first axis counting fastest. It has no parameters."""

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    @property
    def units(self) -> int:
        return int(torch.tensor(self.levels).prod())

    def indices(self, latent: Tensor) -> Tensor:
        """[B, axes, N] of about normal deviates to the level of each, float: [B, axes, N]."""
        levels = self._levels(latent)
        return torch.minimum((torch.sigmoid(NORMAL_SLOPE * latent) * levels).floor(), levels - 1)

    def unit(self, indices: Tensor) -> Tensor:
        """[B, axes, N] to int64 [B, N]."""
        place, found = 1, torch.zeros_like(indices[:, 0])
        for axis, levels in enumerate(self.levels):
            found = found + place * indices[:, axis]
            place *= levels
        return found.to(torch.int64)

    def split(self, units: Tensor) -> Tensor:
        """Int64 [B, N] to the indices that make them, float [B, axes, N]."""
        indices = []
        for levels in self.levels:
            indices.append(units % levels)
            units = units // levels
        return torch.stack(indices, dim=1).to(torch.float32)

    def code(self, indices: Tensor) -> Tensor:
        """The middle of each level, in -1..1: [B, axes, N]."""
        return (indices + 0.5) * 2 / self._levels(indices) - 1

    def rounded(self, latent: Tensor) -> Tensor:
        """The code of ``latent``, whose gradient passes as if nothing had been rounded: [B, axes, N]."""
        smooth = 2 * torch.sigmoid(NORMAL_SLOPE * latent) - 1
        return smooth + (self.code(self.indices(latent)) - smooth).detach()

    def _levels(self, like: Tensor) -> Tensor:
        return torch.tensor(self.levels, dtype=torch.float32)[:, None].to(like.device)
