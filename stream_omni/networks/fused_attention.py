"""Attention over a cache in one kernel: flash-attn where it is installed and takes the type, else PyTorch's own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from stream_omni.networks.llama import Attend, SelfAttention


def fuse_attention(network: nn.Module, device: torch.device, dtype: torch.dtype) -> str:
    """Give a network's self-attention the best kernel that there is; returns its name."""
    flash = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and find_spec("flash_attn") is not None
    attend = _flash_attention(import_module("flash_attn")) if flash else scaled_dot_product
    for module in network.modules():
        if isinstance(module, SelfAttention):
            module.attend = attend
    return "flash-attn" if flash else "scaled_dot_product_attention"


def scaled_dot_product(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """A group of query heads shares its keys as if they were so many more positions, so that no key is repeated."""
    batch, kv_heads, group, tokens, size = q.shape
    seen = (mask == 0).expand(-1, -1, group, -1, -1).reshape(batch, 1, group * tokens, -1)
    q = q.reshape(batch, kv_heads, group * tokens, size).to(keys.dtype)
    mixed = nn.functional.scaled_dot_product_attention(q, keys, values, seen, scale=1.0)  # folded into q's weights
    return mixed.reshape(batch, kv_heads, group, tokens, size)


def _flash_attention(flash: Any) -> Attend:
    def attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """A row's T positions are the last of those that it sees, which is what a causal mask means there."""
        batch, kv_heads, group, tokens, size = q.shape
        lengths = (mask[:, 0, 0, -1] == 0).sum(-1, dtype=torch.int32)
        mixed = flash.flash_attn_with_kvcache(
            q.permute(0, 3, 1, 2, 4).reshape(batch, tokens, kv_heads * group, size).to(keys.dtype),
            keys.transpose(1, 2),  # [B, S, kv_heads, size]; only the last axis must be dense
            values.transpose(1, 2),
            cache_seqlens=lengths,
            softmax_scale=1.0,
            causal=True,
        )
        return mixed.reshape(batch, tokens, kv_heads, group, size).permute(0, 2, 3, 1, 4)  # type: ignore[no-any-return]

    return attend
