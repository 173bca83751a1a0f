"""Engines that are wrong in one place, as a slip in the export or in the compiler would make them: what a tolerance
must refuse. Each changes one layer of a network that has its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from stream_omni.model_info import LlamaSizes
from stream_omni.networks.llama import Block, Stack, rope_frequencies


class _NoNorm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _block(network: nn.Module, layer: int) -> Block:
    block = network.get_submodule("stack.blocks")[layer]  # type: ignore[index]
    assert isinstance(block, Block)
    return block


def transpose_a_matrix(network: nn.Module, layer: int, sizes: LlamaSizes) -> None:
    out = _block(network, layer).attention.out
    assert out.weight.shape[0] == out.weight.shape[1], "only a square one goes unnoticed"
    out.weight.data = out.weight.data.T.contiguous()


def leave_a_norm_out(network: nn.Module, layer: int, sizes: LlamaSizes) -> None:
    _block(network, layer).attention_norm = _NoNorm()  # type: ignore[assignment]


def turn_by_another_theta(network: nn.Module, layer: int, sizes: LlamaSizes) -> None:
    """That of Llama 2, in all layers."""
    stack = network.get_submodule("stack")
    assert isinstance(stack, Stack)
    stack.frequencies = rope_frequencies(dataclasses.replace(sizes.rope, theta=10_000.0), sizes.head_size)


def swap_two_heads(network: nn.Module, layer: int, sizes: LlamaSizes) -> None:
    """Of the queries: the first one with the last one."""
    weight, size = _block(network, layer).attention.qkv.weight.data, sizes.head_size
    other = (sizes.heads - 1) * size
    first = weight[:, :size].clone()
    weight[:, :size] = weight[:, other : other + size]
    weight[:, other : other + size] = first


WRONG: dict[str, Callable[[nn.Module, int, LlamaSizes], None]] = {
    "a matrix transposed": transpose_a_matrix,
    "a norm left out": leave_a_norm_out,
    "another rope theta": turn_by_another_theta,
    "two heads swapped": swap_two_heads,
}
