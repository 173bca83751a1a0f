"""The Llama block, and stacks of it over a KV cache: bottom, LLM and top are all made of this.

A stack runs T new positions of B sequences. Each layer writes their keys and values into its caches
[B, kv_heads, S, head_size] at ``positions`` [B, T], in place, and attends to the cache entries up to each position. So
one graph serves prefill chunks and single steps, for any capacity S. Sequences of unequal length share a batch by
padding rows with a position that a later step writes again.

A stack that is told to (:func:`give_only_new`) leaves its caches alone and gives the new keys and values instead,
[B, kv_heads, T, head_size], for the runtime to write: TensorRT would copy a whole cache to change one row of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stream_omni.model_info import LlamaSizes, Rope
from stream_omni.networks.linear import Linear
from stream_omni.networks.operators import constant, reshape, scatter
from stream_omni.weights import Weight, weight

MASKED = -1e30  # added to a score: its softmax is exactly 0, and no row can become NaN


class RmsNorm(nn.Module):
    """In float32, as the reference does at any precision."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        # a Div by the Sqrt, not a product with rsqrt: the pattern that ONNX Runtime fuses
        return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rope_frequencies(rope: Rope, head_size: int) -> tuple[float, ...]:
    """head_size / 2 values, radians a position, with Llama 3.1's scaling of the slow ones."""
    frequencies = 1.0 / rope.theta ** (torch.arange(0, head_size, 2, dtype=torch.float32, device="cpu") / head_size)
    if rope.factor != 1.0:
        turns = rope.original_positions * frequencies / (2 * math.pi)  # within the original context
        keep = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
        keep = keep.clamp(0.0, 1.0)  # 1: a fast one, kept; 0: a slow one, divided by the factor
        frequencies = keep * frequencies + (1 - keep) * frequencies / rope.factor
    return tuple(frequencies.tolist())


class Rotation(NamedTuple):
    """Cosines, and sines whose first half is negated, both [B, T, 1, head_size]."""

    cos: Tensor
    sin: Tensor
    half: int  # head_size / 2, known when the graph is made

    def of(self, x: Tensor) -> Tensor:
        """``x`` [B, T, heads, head_size], rotated."""
        first, second = torch.split(x, [self.half, self.half], -1)
        return x * self.cos + torch.cat([second, first], -1) * self.sin


def rotation(positions: Tensor, frequencies: tuple[float, ...]) -> Rotation:
    """``positions`` [B, T]."""
    each = constant(torch.tensor(frequencies, device="cpu"), like=positions)
    angles = positions[:, :, None, None].to(torch.float32) * each
    cos, sin = torch.cos(angles), torch.sin(angles)
    return Rotation(torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1), len(frequencies))


class Places(NamedTuple):
    """What all layers of a stack share in one run."""

    rotation: Rotation
    write: Tensor  # [B, kv_heads, T, 3]: the cache entry of each new key
    mask: Tensor  # [B, 1, 1, T, S]: 0 up to the position, very negative after it
    only_new: bool = False  # then the mask is [B, 1, 1, T, S + T], over the cache and the new keys after it


def places_of_new(positions: Tensor, capacity: int, frequencies: tuple[float, ...]) -> Places:
    """For a stack that gives only new keys: it sees of the cache what lies before the first of ``positions`` [B, T]."""
    later = torch.arange(capacity, device=positions.device) >= positions[:, :1, None, None, None]
    later = later.expand(-1, -1, -1, positions.shape[1], -1)  # [B, 1, 1, T, S]
    after = positions[:, None, None, None, :] > positions[:, None, None, :, None]
    mask = torch.cat([later, after], -1).to(torch.float32) * MASKED
    return Places(rotation(positions, frequencies), positions, mask, only_new=True)


def places(positions: Tensor, capacity: int, frequencies: tuple[float, ...], kv_heads: int) -> Places:
    sequences = torch.arange(positions.shape[0], device=positions.device)[:, None, None, None]
    heads = torch.tensor([[0, head, 0] for head in range(kv_heads)], device="cpu")[None, :, None]
    first, third = torch.tensor([1, 0, 0], device="cpu"), torch.tensor([0, 0, 1], device="cpu")
    write = sequences * constant(first, like=positions) + constant(heads, like=positions)
    write = write + positions[:, None, :, None] * constant(third, like=positions)
    after = torch.arange(capacity, device=positions.device) > positions[:, None, None, :, None]
    return Places(rotation(positions, frequencies), write, after.to(torch.float32) * MASKED)


def attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """``q`` [B, kv_heads, group, T, size] over a cache [B, kv_heads, S, size]; as ``q``."""
    scores = torch.softmax(torch.matmul(q, keys.unsqueeze(2).transpose(-1, -2)) + mask, -1)
    return torch.matmul(scores, values.unsqueeze(2))


Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # as the above


def attend_apart(q: Tensor, cache: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
    """As :func:`attend`, over a cache and what is new after it, without putting the two together."""
    products = [torch.matmul(q, keys.unsqueeze(2).transpose(-1, -2)) for keys, _ in (cache, new)]
    scores = torch.softmax(torch.cat(products, -1) + mask, -1)
    capacity = cache[0].shape[2]
    old, fresh = scores[..., :capacity], scores[..., capacity:]
    return torch.matmul(old, cache[1].unsqueeze(2)) + torch.matmul(fresh, new[1].unsqueeze(2))


class SelfAttention(nn.Module):
    """Grouped-query attention over the cache. 1/sqrt(head_size) is folded into the query's weights."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = sizes.heads, sizes.kv_heads, sizes.head_size
        self.attend: Attend = attend  # or a fused kernel for it (stream_omni.networks.fused_attention)
        self.outputs = [sizes.heads * sizes.head_size, *[sizes.kv_heads * sizes.head_size] * 2]
        self.qkv = Linear(sizes.hidden, sum(self.outputs))
        self.out = Linear(self.outputs[0], sizes.hidden)

    def forward(self, x: Tensor, at: Places, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads, kv_heads, size = self.heads, self.kv_heads, self.head_size
        qk, v = torch.split(self.qkv(x), [(heads + kv_heads) * size, kv_heads * size], -1)
        qk = at.rotation.of(reshape(qk, 0, 0, heads + kv_heads, -1))
        q, k = torch.split(qk, [heads, kv_heads], 2)
        cache = keys, values
        if at.only_new:
            keys, values = k.transpose(1, 2), reshape(v, 0, 0, kv_heads, -1).transpose(1, 2)
        else:
            keys = scatter(keys, at.write, k.transpose(1, 2))
            values = scatter(values, at.write, reshape(v, 0, 0, kv_heads, -1).transpose(1, 2))
        # each key head serves a group of query heads: [B, kv_heads, group, T, size] with [B, kv_heads, 1, S, size]
        q = reshape(q, 0, 0, kv_heads, heads // kv_heads, -1).permute(0, 2, 3, 1, 4)
        if at.only_new:
            mixed = attend_apart(q, cache, (keys, values), at.mask)
        else:
            mixed = self.attend(q, keys, values, at.mask)
        return self.out(reshape(mixed.permute(0, 3, 1, 2, 4), 0, 0, -1)), keys, values

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        parts = zip((f"{source}.{x}_proj" for x in "qkv"), self.outputs, strict=True)
        return {
            **self.qkv.weights(f"{prefix}.qkv", *parts, first_scale=self.head_size**-0.5),
            **self.out.weights(f"{prefix}.out", (f"{source}.o_proj", self.out.weight.shape[1])),
        }


class Mlp(nn.Module):
    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        self.gate = Linear(sizes.hidden, sizes.intermediate)
        self.up = Linear(sizes.hidden, sizes.intermediate)
        self.down = Linear(sizes.intermediate, sizes.hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        found: dict[str, Weight] = {}
        for name, layer in (("gate", self.gate), ("up", self.up), ("down", self.down)):
            found |= layer.weights(f"{prefix}.{name}", (f"{source}.{name}_proj", layer.weight.shape[1]))
        return found


class Block(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        self.attention_norm = RmsNorm(sizes.hidden, sizes.rms_norm_eps)
        self.attention = SelfAttention(sizes)
        self.mlp_norm = RmsNorm(sizes.hidden, sizes.rms_norm_eps)
        self.mlp = Mlp(sizes)

    def forward(self, x: Tensor, at: Places, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        attended, keys, values = self.attention(self.attention_norm(x), at, keys, values)
        return self.feed_forward(x + attended), keys, values

    def feed_forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.mlp_norm(x))  # type: ignore[no-any-return]

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        return {
            f"{prefix}.attention_norm.weight": weight(f"{source}.input_layernorm.weight", *self.mlp_norm.weight.shape),
            f"{prefix}.mlp_norm.weight": weight(
                f"{source}.post_attention_layernorm.weight", *self.mlp_norm.weight.shape
            ),
            **self.attention.weights(f"{prefix}.attention", f"{source}.self_attn"),
            **self.mlp.weights(f"{prefix}.mlp", f"{source}.mlp"),
        }


class Stack(nn.Module):
    """Blocks over one KV cache, and the norm after them, which the caller applies to the positions it wants."""

    def __init__(self, sizes: LlamaSizes, layers: int, block: type[Block] = Block) -> None:
        super().__init__()
        self.kv_heads = sizes.kv_heads
        self.blocks = nn.ModuleList(block(sizes) for _ in range(layers))
        self.norm = RmsNorm(sizes.hidden, sizes.rms_norm_eps)
        self.frequencies = rope_frequencies(sizes.rope, sizes.head_size)
        self.only_new = False

    def forward(
        self, x: Tensor, positions: Tensor, caches: Sequence[Tensor], *context: object
    ) -> tuple[Tensor, list[Tensor]]:
        """``x`` [B, T, hidden] -> the last block's output [B, T, hidden], not normed, and the caches, updated in place
        (or the new keys and values alone).

        ``caches`` are keys and values by turns, each [B, kv_heads, S, head_size]; ``context`` is handed to each block.
        """
        if x.dtype != torch.float32:  # what layers add up stays wide, whatever the weights are in
            x = x.float()
        capacity = caches[0].shape[2]
        if self.only_new:
            at = places_of_new(positions, capacity, self.frequencies)
        else:
            at = places(positions, capacity, self.frequencies, self.kv_heads)
        updated: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x, keys, values = block(x, at, caches[2 * i], caches[2 * i + 1], *context)
            updated += [keys, values]
        return x, updated

    def weights(self, prefix: str, layers: str, norm: str) -> dict[str, Weight]:
        """``layers`` and ``norm``: the checkpoint's paths of the list of layers and of the norm."""
        found = {f"{prefix}.norm.weight": weight(f"{norm}.weight", *self.norm.weight.shape)}
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            found |= block.weights(f"{prefix}.blocks.{i}", f"{layers}.{i}")
        return found


def give_only_new(network: nn.Module) -> None:
    """Of a network's stacks: from now on they leave their caches alone, and give new keys and values in their place."""
    for module in network.modules():
        if isinstance(module, Stack):
            module.only_new = True


def last_of(x: Tensor, rows: Tensor) -> Tensor:
    """The last position of the chosen rows: [B, T, ...] and [R] -> [R, ...]. R may be 0."""
    return x[:, -1].index_select(0, rows)
