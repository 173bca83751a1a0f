"""LLaMA layers for the reference baseline: plain PyTorch, one sequence, straight from the checkpoint's tensors.

Nothing is wasted here that docs/algorithm.md does not list as a cost of the reference: keys and values are written into
place instead of concatenated, and grouped heads are not repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from stream_omni.model_info import LlamaSizes
from stream_omni.networks.llama import rope_frequencies
from stream_omni.weights import TensorSource

_FIRST_CAPACITY = 1024  # positions; doubled when full


@dataclass
class KeysValues:
    """One layer's, of the ``length`` positions so far: each [kv_heads, capacity, head_size]."""

    keys: Tensor
    values: Tensor
    length: int = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """New ones [kv_heads, T, head_size] in, all out."""
        end = self.length + keys.shape[1]
        while end > self.keys.shape[1]:
            self.keys = torch.cat([self.keys, torch.empty_like(self.keys)], 1)
            self.values = torch.cat([self.values, torch.empty_like(self.values)], 1)
        self.keys[:, self.length : end], self.values[:, self.length : end] = keys, values
        self.length = end
        return self.keys[:, :end], self.values[:, :end]

    def copy(self) -> list[Tensor]:
        return [self.keys[:, : self.length].clone(), self.values[:, : self.length].clone()]


@dataclass(frozen=True)
class TextWindow:
    """What cross-attention sees: ``rows`` [W, hidden] and their ``positions`` [W] in the queue."""

    rows: Tensor
    positions: Tensor


@dataclass
class Stack:
    """One of the three stacks, with the cache of one turn. ``layers`` and ``norm`` are the checkpoint's paths."""

    tensors: TensorSource
    sizes: LlamaSizes
    layers: str
    count: int
    norm: str
    weights: dict[str, Tensor] = field(default_factory=dict)
    caches: list[KeysValues] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = [n for n in self.tensors.shapes() if n.startswith(f"{self.layers}.") or n == f"{self.norm}.weight"]
        self.weights = {name: torch.from_numpy(self.tensors.get(name)) for name in names}
        self._frequencies = torch.tensor(rope_frequencies(self.sizes.rope, self.sizes.head_size))

    def begin(self) -> None:
        """Forget the turn before."""
        shape = (self.sizes.kv_heads, _FIRST_CAPACITY, self.sizes.head_size)
        self.caches = [KeysValues(torch.empty(shape), torch.empty(shape)) for _ in range(self.count)]

    def run(self, x: Tensor, window: TextWindow | None = None) -> list[Tensor]:
        """``x`` [T, hidden], the next T positions -> every layer's input, and last the normed output, each [T, hidden].

        With a ``window``, the last position of the T hears it in every layer.
        """
        states = [x]
        begin = self.caches[0].length
        rotation = self._rotation(torch.arange(begin, begin + len(x)))
        for i in range(self.count):
            path = f"{self.layers}.{i}"
            x = x + self._attend(
                self._norm(x, f"{path}.input_layernorm"), f"{path}.self_attn", self.caches[i], rotation
            )
            if window is not None:
                last = x[-1:] + self._hear(x[-1:], f"{path}.audio_text_attn", window, rotation[:, -1:])
                x = torch.cat([x[:-1], last])
            x = x + self._mlp(self._norm(x, f"{path}.post_attention_layernorm"), f"{path}.mlp")
            states.append(x)
        states[-1] = self._norm(x, self.norm)
        return states

    def _attend(self, x: Tensor, path: str, cache: KeysValues, rotation: Tensor) -> Tensor:
        sizes, tokens = self.sizes, len(x)
        group = sizes.heads // sizes.kv_heads
        q, k, v = (self._heads(x, f"{path}.{name}_proj") for name in "qkv")  # [heads, T, head_size]
        keys, values = cache.append(_rotate(k, rotation), v)
        q = _rotate(q, rotation).reshape(sizes.kv_heads, group * tokens, sizes.head_size)
        scores = q @ keys.transpose(1, 2) / math.sqrt(sizes.head_size)  # [kv_heads, group * T, positions]
        if tokens > 1:
            later = torch.ones(tokens, cache.length, dtype=torch.bool).triu(cache.length - tokens + 1)
            scores = scores.masked_fill(later.repeat(group, 1), -math.inf)
        mixed = (torch.softmax(scores, -1) @ values).reshape(sizes.heads, tokens, sizes.head_size)
        return linear(mixed.transpose(0, 1).reshape(tokens, -1), self.weights[f"{path}.o_proj.weight"])

    def _hear(self, x: Tensor, path: str, window: TextWindow, rotation: Tensor) -> Tensor:
        """All heads have keys of their own here; nothing is kept for the next step."""
        q = _rotate(self._heads(x, f"{path}.q_proj"), rotation)
        k = _rotate(self._heads(window.rows, f"{path}.k_proj"), self._rotation(window.positions))
        v = self._heads(window.rows, f"{path}.v_proj")
        scores = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(self.sizes.head_size), -1)
        return linear((scores @ v).reshape(1, -1), self.weights[f"{path}.o_proj.weight"])

    def _mlp(self, x: Tensor, path: str) -> Tensor:
        gate, up = (linear(x, self.weights[f"{path}.{name}_proj.weight"]) for name in ("gate", "up"))
        return linear(silu(gate) * up, self.weights[f"{path}.down_proj.weight"])

    def _heads(self, x: Tensor, path: str) -> Tensor:
        return linear(x, self.weights[f"{path}.weight"]).view(len(x), -1, self.sizes.head_size).transpose(0, 1)

    def _norm(self, x: Tensor, path: str) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.sizes.rms_norm_eps)
        return x * scale * self.weights[f"{path}.weight"]

    def _rotation(self, positions: Tensor) -> Tensor:
        """Cosines and sines [2, T, head_size] of ``positions`` [T]."""
        angles = positions[:, None].float() * self._frequencies
        return torch.stack([angles.cos(), angles.sin()]).repeat(1, 1, 2)


def _rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """``x`` [heads, T, head_size]."""
    first, second = x.chunk(2, -1)
    return x * rotation[0] + torch.cat([-second, first], -1) * rotation[1]
