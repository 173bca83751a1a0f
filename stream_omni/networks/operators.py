"""Operators that PyTorch's tracer would write as many ONNX nodes, or cannot trace on the "meta" device.

Networks are exported from meta tensors with dynamic sizes. Each operator here runs as ordinary PyTorch and is exported
as one ONNX node.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Constant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, like: Tensor, value: Tensor) -> Tensor:
        return value.to(like.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None]:
        return None, None

    @staticmethod
    def symbolic(g: Any, like: Any, value: Any) -> Any:
        return value


class _Reshape(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: tuple[int, ...]) -> Tensor:
        ctx.shape = tensor.shape
        return tensor.reshape([tensor.shape[i] if size == 0 else size for i, size in enumerate(sizes)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.reshape(ctx.shape), None

    @staticmethod
    def symbolic(g: Any, tensor: Any, sizes: tuple[int, ...]) -> Any:
        return g.op("Reshape", tensor, g.op("Constant", value_t=torch.tensor(sizes, dtype=torch.int64)))


class _ScatterND(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, index: Tensor, rows: Tensor) -> Tensor:
        ctx.mark_dirty(tensor)
        return tensor.index_put_(tuple(index.unbind(-1)), rows.to(tensor.dtype))  # a cache may be kept in fewer bits

    @staticmethod
    def symbolic(g: Any, tensor: Any, index: Any, rows: Any) -> Any:
        return g.op("ScatterND", tensor, index, rows).setType(tensor.type())


def exponential(values: Tensor) -> Tensor:
    """Of float32, rounded once: PyTorch's own differs in the last bit from one kind of processor to the next, and so
    would a graph of which it is a constant."""
    return values.double().exp().float()


def constant(value: Tensor, like: Tensor) -> Tensor:
    """``value`` (small, computed from sizes, on the CPU) on the device of ``like``; in a graph, a constant."""
    return _Constant.apply(like, value)  # type: ignore[no-any-return, no-untyped-call]


def reshape(tensor: Tensor, *sizes: int) -> Tensor:
    """As ONNX's Reshape: size 0 keeps the axis, so that dynamic leading axes need no arithmetic.

    One size must be -1 (PyTorch's exporter fails otherwise); where an axis may be empty, that one, and no 0 (ONNX
    cannot infer an axis beside an empty one).
    """
    return _Reshape.apply(tensor, sizes)  # type: ignore[no-any-return, no-untyped-call]


def scatter(tensor: Tensor, index: Tensor, rows: Tensor) -> Tensor:
    """``tensor`` with ``rows`` [..., *tensor.shape[k:]] written at ``index`` [..., k], in place; in training in a copy,
    since the backward pass reads what was there before."""
    if torch.is_grad_enabled() and (tensor.requires_grad or rows.requires_grad) and not tensor.is_meta:
        return torch.index_put(tensor, tuple(index.unbind(-1)), rows)
    return _ScatterND.apply(tensor, index, rows)  # type: ignore[no-any-return, no-untyped-call]
