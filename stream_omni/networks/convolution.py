"""Convolutions over time whose export can be traced on the "meta" device.

PyTorch's own meta kernel of a convolution checks sizes in Python, where the tracer has made tensors of them, and fails.
These compute as PyTorch's do, and state shape and ONNX node themselves.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int
    ) -> Tensor:
        if x.is_meta:
            length = (int(x.shape[2]) + 2 * padding - dilation * (int(weight.shape[2]) - 1) - 1) // stride + 1
            return x.new_empty(int(x.shape[0]), int(weight.shape[0]), length)
        return F.conv1d(x, weight, bias, stride, padding, dilation)

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any, bias: Any, stride: int, padding: int, dilation: int) -> Any:
        inputs = [x, weight] if _is_none(bias) else [x, weight, bias]
        node = g.op("Conv", *inputs, strides_i=[stride], pads_i=[padding, padding], dilations_i=[dilation])
        return node.setType(x.type().with_sizes([None, weight.type().sizes()[0], None]))


class _ConvolveTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        if x.is_meta:
            length = (int(x.shape[2]) - 1) * stride - 2 * padding + int(weight.shape[2])
            return x.new_empty(int(x.shape[0]), int(weight.shape[1]), length)
        return F.conv_transpose1d(x, weight, bias, stride, padding)

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any, bias: Any, stride: int, padding: int) -> Any:
        inputs = [x, weight] if _is_none(bias) else [x, weight, bias]
        node = g.op("ConvTranspose", *inputs, strides_i=[stride], pads_i=[padding, padding])
        return node.setType(x.type().with_sizes([None, weight.type().sizes()[1], None]))


def _is_none(value: Any) -> bool:
    return value is None or value.node().mustBeNone()


def _trains(x: Tensor, weight: Tensor) -> bool:
    """Whether a gradient is wanted, which only PyTorch's own operators have; export, on "meta", wants none."""
    return torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad) and not x.is_meta


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """``x`` [B, in, T], ``weight`` [out, in, kernel]."""
    if _trains(x, weight):
        return F.conv1d(x, weight, bias, stride, padding, dilation)
    return _Convolve.apply(x, weight, bias, stride, padding, dilation)  # type: ignore[no-any-return, no-untyped-call]


def convolve_transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0
) -> Tensor:
    """``x`` [B, in, T], ``weight`` [in, out, kernel]."""
    if _trains(x, weight):
        return F.conv_transpose1d(x, weight, bias, stride, padding)
    return _ConvolveTransposed.apply(x, weight, bias, stride, padding)  # type: ignore[no-any-return, no-untyped-call]


class Conv(nn.Module):
    """[B, in_channels, T] to [B, out_channels, about T / stride]."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


class TransposedConv(nn.Module):
    """[B, in_channels, T] to [B, out_channels, about T * stride]."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, kernel))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return convolve_transposed(x, self.weight, self.bias, self.stride, self.padding)
