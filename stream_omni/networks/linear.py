"""A matrix as a graph wants it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from stream_omni.weights import Weight, joined, side_by_side


class Linear(nn.Module):
    """``x @ weight + bias`` with the weight as [inputs, outputs]: one MatMul, without the Transpose of the weight that
    an exported ``nn.Linear`` carries, so that a runtime need not make a second copy of each matrix as it loads."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.matmul(x, self.weight)
        return y if self.bias is None else y + self.bias

    def weights(self, prefix: str, *parts: tuple[str, int], first_scale: float = 1.0) -> dict[str, Weight]:
        """``prefix`` is this module's path in its network. ``parts`` are the checkpoint's layers that stand side by
        side in it: each one's path and number of outputs. ``first_scale`` multiplies the first one."""
        inputs = self.weight.shape[0]
        names = [name for name, _ in parts]
        shapes = tuple((outputs, inputs) for _, outputs in parts)
        found = {
            f"{prefix}.weight": Weight(tuple(f"{n}.weight" for n in names), shapes, partial(side_by_side, first_scale))
        }
        if self.bias is not None:
            biases = tuple((outputs,) for _, outputs in parts)
            found[f"{prefix}.bias"] = Weight(tuple(f"{n}.bias" for n in names), biases, partial(joined, first_scale))
        return found
