"""Attention heads in and out of the feature axis."""

from __future__ import annotations

from torch import Tensor

from stream_omni.networks.operators import reshape


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, T, heads * size] to [B, heads, T, size]."""
    return reshape(x, 0, 0, heads, -1).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, heads, T, size] to [B, T, heads * size]."""
    return reshape(x.transpose(1, 2), 0, 0, -1)
