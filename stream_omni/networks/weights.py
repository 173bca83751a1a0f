"""Networks that name the origin of their parameters, and how they are filled (see :mod:`stream_omni.weights`)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn

from stream_omni.weights import TensorSource, Weight, weight


def same_names(module: nn.Module, prefix: str = "", source_prefix: str = "") -> dict[str, Weight]:
    """For a module whose parameters are named and shaped as in the checkpoint. ``prefix`` is the module's own path in
    its network, ``source_prefix`` what stands before the names in the checkpoint (both with their final dot)."""
    return {prefix + name: weight(source_prefix + name, *p.shape) for name, p in module.named_parameters()}


class Network(nn.Module, ABC):
    """A graph's network."""

    @abstractmethod
    def weights(self) -> dict[str, Weight]:
        """Every parameter's name, with its origin."""


def load_weights(
    network: Network, tensors: TensorSource, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> None:
    """Fill a network that was built on the "meta" device, tensor by tensor, so that the host never holds two."""
    for name, origin in network.weights().items():
        owner, _, leaf = name.rpartition(".")
        values = torch.from_numpy(np.ascontiguousarray(origin.read(tensors)))
        kept = values.to(device, dtype if values.is_floating_point() else values.dtype)
        setattr(network.get_submodule(owner), leaf, nn.Parameter(kept, requires_grad=False))
    left = [n for n, p in (*network.named_parameters(), *network.named_buffers()) if p.device == torch.device("meta")]
    if left:
        raise ValueError(f"{type(network).__name__} has parameters of no known origin: {', '.join(left)}")
