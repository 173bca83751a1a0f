"""The flow's encoder stack: Transformer layers with relative positions (Transformer-XL, Dai et al. 2019).

Every position sees every other one; there is no mask, so a batch must hold equal lengths.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni.networks.heads import merge_heads, split_heads
from stream_omni.networks.linear import Linear
from stream_omni.networks.operators import constant, exponential
from stream_omni.networks.weights import same_names
from stream_omni.weights import Weight, scale_head_bias

LAYER_NORM_EPS = 1e-5
LONGEST_WAVE = 10000.0


def wave_rates(width: int) -> Tensor:
    """Angle per position of each sine/cosine pair: [width/2]."""
    return exponential(torch.arange(0, width, 2, dtype=torch.float32, device="cpu") * -(math.log(LONGEST_WAVE) / width))


class RelativeAttention(nn.Module):
    """score[i, j] = ((q_i + u) k_j + (q_i + v) p_{i-j}) / sqrt(head size); the divisor is folded into q, u and v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads, self.head_size = width, heads, width // heads
        self.qkv = Linear(width, 3 * width, bias=True)
        self.position = Linear(width, width)
        self.content_bias = nn.Parameter(torch.empty(heads, 1, self.head_size))
        self.position_bias = nn.Parameter(torch.empty(heads, 1, self.head_size))
        self.out = Linear(width, width, bias=True)

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        scale, shape = self.head_size**-0.5, (self.heads, self.head_size)
        query, key, value = ((f"{source}.linear_{part}", self.width) for part in "qkv")
        fold = partial(scale_head_bias, scale)
        return {
            f"{prefix}.content_bias": Weight((f"{source}.pos_bias_u",), (shape,), fold),
            f"{prefix}.position_bias": Weight((f"{source}.pos_bias_v",), (shape,), fold),
            **self.qkv.weights(f"{prefix}.qkv", query, key, value, first_scale=scale),
            **self.position.weights(f"{prefix}.position", (f"{source}.linear_pos", self.width)),
            **self.out.weights(f"{prefix}.out", (f"{source}.linear_out", self.width)),
        }

    def forward(self, x: Tensor, table: Tensor) -> Tensor:  # [B, N, width], [1, 2N-1, width]
        q, k, v = (
            split_heads(part, self.heads) for part in self.qkv(x).split([self.width] * 3, -1)
        )  # [B, heads, N, head_size]
        p = split_heads(self.position(table), self.heads)
        content = (q + self.content_bias) @ k.transpose(-1, -2)
        position = align_to_keys((q + self.position_bias) @ p.transpose(-1, -2))
        seen: Tensor = self.out(merge_heads((content + position).softmax(dim=-1) @ v))
        return seen


def align_to_keys(scores: Tensor) -> Tensor:
    """[B, heads, N, 2N-1] over distances N-1 ... 1-N to [B, heads, N, N] over keys, by re-reading the rows as if they
    were one element shorter."""
    batch, heads, length, _ = scores.shape
    padded = F.pad(scores, (1, 0)).reshape(batch, heads, 2 * length, length)
    return padded[:, :, 1:].reshape(batch, heads, length, 2 * length - 1)[..., :length]


class ConformerLayer(nn.Module):
    """Pre-norm attention and feed-forward; the checkpoint has neither the convolution nor the second feed-forward."""

    def __init__(self, width: int, heads: int, intermediate: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attention = RelativeAttention(width, heads)
        self.feed_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.widen = Linear(width, intermediate, bias=True)
        self.narrow = Linear(intermediate, width, bias=True)

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        intermediate, width = self.narrow.weight.shape
        return (
            same_names(self.attention_norm, f"{prefix}.attention_norm.", f"{source}.norm_mha.")
            | self.attention.weights(f"{prefix}.attention", f"{source}.self_attn")
            | same_names(self.feed_norm, f"{prefix}.feed_norm.", f"{source}.norm_ff.")
            | self.widen.weights(f"{prefix}.widen", (f"{source}.feed_forward.w_1", intermediate))
            | self.narrow.weights(f"{prefix}.narrow", (f"{source}.feed_forward.w_2", width))
        )

    def forward(self, x: Tensor, table: Tensor) -> Tensor:  # [B, N, width]
        x = x + self.attention(self.attention_norm(x), table)
        fed: Tensor = self.narrow(F.silu(self.widen(self.feed_norm(x))))
        return x + fed


class Conformer(nn.Module):
    """Unit embeddings [B, N, input_size] to features [B, N, width]. Positions enter by the distance table only."""

    def __init__(self, input_size: int, width: int, heads: int, intermediate: int, layers: int) -> None:
        super().__init__()
        self.width, self.rates = width, wave_rates(width)
        self.enter = Linear(input_size, width, bias=True)
        self.enter_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.layers = nn.ModuleList([ConformerLayer(width, heads, intermediate) for _ in range(layers)])
        self.leave_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        found = (
            self.enter.weights(f"{prefix}.enter", (f"{source}.embed.out.0", self.width))
            | same_names(self.enter_norm, f"{prefix}.enter_norm.", f"{source}.embed.out.1.")
            | same_names(self.leave_norm, f"{prefix}.leave_norm.", f"{source}.after_norm.")
        )
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, ConformerLayer)
            found |= layer.weights(f"{prefix}.layers.{i}", f"{source}.encoders.{i}")
        return found

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        distances = torch.arange(length - 1, -length, -1, device=x.device).to(x.dtype)  # positive: key to the left
        angles = distances[:, None] * constant(self.rates, like=x)
        table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None]  # [1, 2N-1, width]
        x = self.enter_norm(self.enter(x)) * math.sqrt(self.width)
        for layer in self.layers:
            x = layer(x, table)
        features: Tensor = self.leave_norm(x)
        return features
