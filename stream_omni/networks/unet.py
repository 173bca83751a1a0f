"""The flow's estimator: a U-net of convolutions and Transformer blocks over time (as in Matcha-TTS, 2023).

Features are [B, channels, T] in convolutions and [B, T, channels] in attention. Attention is full and normalisation
runs over time, so a batch must hold equal lengths: padding would change every frame.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni.networks.convolution import Conv, TransposedConv
from stream_omni.networks.heads import merge_heads, split_heads
from stream_omni.networks.linear import Linear
from stream_omni.networks.weights import same_names
from stream_omni.weights import Weight

NORM_GROUPS = 8
NORM_EPS = 1e-5
FEED_FORWARD_FACTOR = 4


class ConvBlock(nn.Module):
    """Convolution, group norm, Mish: ``in_channels`` to ``out_channels``."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, 3, padding=1)
        self.norm = nn.GroupNorm(groups, out_channels, eps=NORM_EPS)

    def weights(self, prefix: str, conv: str, norm: str) -> dict[str, Weight]:
        return same_names(self.conv, f"{prefix}.conv.", f"{conv}.") | same_names(
            self.norm, f"{prefix}.norm.", f"{norm}."
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(self.norm(self.conv(x)))


class Residual(nn.Module):
    """Two convolution blocks with the time embedding added between them, and a 1x1 shortcut."""

    def __init__(self, in_channels: int, out_channels: int, time_size: int) -> None:
        super().__init__()
        self.first = ConvBlock(in_channels, out_channels, NORM_GROUPS)
        self.time = Linear(time_size, out_channels, bias=True)
        self.second = ConvBlock(out_channels, out_channels, NORM_GROUPS)
        self.shortcut = Conv(in_channels, out_channels, 1)

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        return (
            self.first.weights(f"{prefix}.first", f"{source}.block1.block.0", f"{source}.block1.block.1")
            | self.time.weights(f"{prefix}.time", (f"{source}.mlp.1", self.time.weight.shape[1]))
            | self.second.weights(f"{prefix}.second", f"{source}.block2.block.0", f"{source}.block2.block.1")
            | same_names(self.shortcut, f"{prefix}.shortcut.", f"{source}.res_conv.")
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # [B, in_channels, T], Mish of the time embedding
        hidden: Tensor = self.first(x) + self.time(time)[:, :, None]
        shortcut: Tensor = self.shortcut(x)
        second: Tensor = self.second(hidden)
        return second + shortcut


class Attention(nn.Module):
    """Pre-norm self-attention and feed-forward: [B, T, channels]. The score's divisor is folded into the query."""

    def __init__(self, channels: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.inner = inner = heads * head_size
        self.attention_norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.qkv = Linear(channels, 3 * inner)
        self.out = Linear(inner, channels, bias=True)
        self.feed_norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.widen = Linear(channels, FEED_FORWARD_FACTOR * channels, bias=True)
        self.narrow = Linear(FEED_FORWARD_FACTOR * channels, channels, bias=True)

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        channels = self.out.weight.shape[1]
        query, key, value = ((f"{source}.attn1.to_{part}", self.inner) for part in "qkv")
        return (
            same_names(self.attention_norm, f"{prefix}.attention_norm.", f"{source}.norm1.")
            | self.qkv.weights(f"{prefix}.qkv", query, key, value, first_scale=self.head_size**-0.5)
            | self.out.weights(f"{prefix}.out", (f"{source}.attn1.to_out.0", channels))
            | same_names(self.feed_norm, f"{prefix}.feed_norm.", f"{source}.norm3.")
            | self.widen.weights(f"{prefix}.widen", (f"{source}.ff.net.0.proj", FEED_FORWARD_FACTOR * channels))
            | self.narrow.weights(f"{prefix}.narrow", (f"{source}.ff.net.2", channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.attention_norm(x)).split([self.inner] * 3, -1)
        q, k, v = (split_heads(part, self.heads) for part in parts)
        seen = (q @ k.transpose(-1, -2)).softmax(dim=-1) @ v
        x = x + self.out(merge_heads(seen))
        fed: Tensor = self.narrow(F.gelu(self.widen(self.feed_norm(x))))
        return x + fed


class Stage(nn.Module):
    """One level of the U-net: a residual block and its attention blocks. What changes the rate comes after it."""

    def __init__(
        self, in_channels: int, out_channels: int, time_size: int, heads: int, head_size: int, blocks: int
    ) -> None:
        super().__init__()
        self.residual = Residual(in_channels, out_channels, time_size)
        self.blocks = nn.Sequential(*(Attention(out_channels, heads, head_size) for _ in range(blocks)))

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        found = self.residual.weights(f"{prefix}.residual", f"{source}.0")
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Attention)
            found |= block.weights(f"{prefix}.blocks.{i}", f"{source}.1.{i}")
        return found

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # [B, in_channels, T] to [B, out_channels, T]
        hidden: Tensor = self.blocks(self.residual(x, time).transpose(1, 2))
        return hidden.transpose(1, 2)


class UNet(nn.Module):
    """Stages going down, in the middle and going up. The rate is halved after each stage down but the last; each stage
    up also sees what the stage down of its rate put out, before its rate was changed."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: tuple[int, ...],
        heads: int,
        head_size: int,
        blocks: int,
        middle_stages: int,
    ) -> None:
        super().__init__()
        time_size, deepest, rising = 4 * channels[0], channels[-1], (*reversed(channels), channels[0])

        def stage(entering: int, leaving: int) -> Stage:
            return Stage(entering, leaving, time_size, heads, head_size, blocks)

        self.down = nn.ModuleList([stage(a, b) for a, b in zip((in_channels, *channels), channels, strict=False)])
        self.slower = nn.ModuleList([Conv(c, c, 3, stride=2, padding=1) for c in channels[:-1]])
        self.slower.append(Conv(deepest, deepest, 3, padding=1))
        self.middle = nn.ModuleList([stage(deepest, deepest) for _ in range(middle_stages)])
        self.up = nn.ModuleList([stage(2 * a, b) for a, b in pairwise(rising)])
        self.faster = nn.ModuleList([TransposedConv(c, c, 4, stride=2, padding=1) for c in rising[1:-1]])
        self.faster.append(Conv(rising[-1], rising[-1], 3, padding=1))
        self.last = ConvBlock(rising[-1], rising[-1], NORM_GROUPS)
        self.project = Conv(rising[-1], out_channels, 1)

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        found = self.last.weights(f"{prefix}.last", f"{source}.final_block.block.0", f"{source}.final_block.block.1")
        found |= same_names(self.project, f"{prefix}.project.", f"{source}.final_proj.")
        for ours, theirs in (("down", "down_blocks"), ("middle", "mid_blocks"), ("up", "up_blocks")):
            for i, stage in enumerate(self.get_submodule(ours).children()):
                assert isinstance(stage, Stage)
                found |= stage.weights(f"{prefix}.{ours}.{i}", f"{source}.{theirs}.{i}")
        for ours, theirs in (("slower", "down_blocks"), ("faster", "up_blocks")):
            convolutions = list(self.get_submodule(ours).children())
            for i, convolution in enumerate(convolutions):
                name = f"{theirs}.{i}.2" if i == len(convolutions) - 1 else f"{theirs}.{i}.2.conv"
                found |= same_names(convolution, f"{prefix}.{ours}.{i}.", f"{source}.{name}.")
        return found

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # [B, in_channels, T], [B, time_size]
        skips = []
        for stage, slower in zip(self.down, self.slower, strict=True):
            x = stage(x, time)
            skips.append(x)
            x = slower(x)
        for stage in self.middle:
            x = stage(x, time)
        for stage, faster in zip(self.up, self.faster, strict=True):
            skip = skips.pop()
            x = faster(stage(torch.cat([x[..., : skip.shape[-1]], skip], dim=1), time))  # an odd T came back one longer
        velocity: Tensor = self.project(self.last(x))
        return velocity
