"""Networks that name the origin of their parameters, and how they are filled (see :mod:`stream_omni.weights`)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from stream_omni.tensor_files import CheckpointTensors
from stream_omni.weights import (
    TensorSource,
    Weight,
    as_it_is,
    as_matrix,
    chosen,
    joined,
    scale_head_bias,
    side_by_side,
    weight,
)


def same_names(module: nn.Module, prefix: str = "", source_prefix: str = "") -> dict[str, Weight]:
    """For a module whose parameters are named and shaped as in the checkpoint. ``prefix`` is the module's own path in
    its network, ``source_prefix`` what stands before the names in the checkpoint (both with their final dot)."""
    return {prefix + name: weight(source_prefix + name, *p.shape) for name, p in module.named_parameters()}


class Network(nn.Module, ABC):
    """A graph's network."""

    @abstractmethod
    def weights(self) -> dict[str, Weight]:
        """Every parameter's name, with its origin."""


def load_weights(network: Network, tensors: TensorSource) -> None:
    """Fill a network that was built on the "meta" device, tensor by tensor, so that the host never holds two."""
    for name, origin in network.weights().items():
        _set(network, name, torch.from_numpy(np.ascontiguousarray(origin.read(tensors))))
    _require_all(network)


# kinds of values that travel as the file has them; bits of BF16 are NumPy's uint16
_AS_THEY_ARE = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_ON_BOTH = (as_it_is, joined, side_by_side, chosen, as_matrix, scale_head_bias)  # combine PyTorch's tensors as well


def load_on_device(network: Network, tensors: TensorSource, device: torch.device, dtype: torch.dtype) -> None:
    """The same on a device. ``dtype``: of matrices; scales of norms and biases stay in float32.

    Values go there as the file has them, and are widened, combined and transposed there: the host's processor takes
    minutes for that of 16 GB.
    """
    for name, origin in network.weights().items():
        values = _combined_there(origin, tensors, device)
        if values is None:
            values = torch.from_numpy(np.ascontiguousarray(origin.read(tensors))).to(device)
        narrow = values.is_floating_point() and values.dim() > 1
        _set(network, name, (values.to(dtype) if narrow else values).contiguous())
    _require_all(network)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what tensors were combined in, for the other stages' processes


def _combined_there(origin: Weight, tensors: TensorSource, device: torch.device) -> Tensor | None:
    """In float32; None for values that only the host can read or combine."""
    if not isinstance(tensors, CheckpointTensors) or origin.form[0] not in {form.__name__ for form in _ON_BOTH}:
        return None
    stored = [tensors.stored(name) for name in origin.sources]
    if not all(tensor.kind in _AS_THEY_ARE for tensor in stored):
        return None
    there = (torch.from_numpy(t.mapped()).to(device).view(_AS_THEY_ARE[t.kind]).float() for t in stored)
    return torch.as_tensor(origin.combine(*there))


def _set(network: Network, name: str, values: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(owner), leaf, nn.Parameter(values, requires_grad=False))


def _require_all(network: Network) -> None:
    left = [n for n, p in (*network.named_parameters(), *network.named_buffers()) if p.device == torch.device("meta")]
    if left:
        raise ValueError(f"{type(network).__name__} has parameters of no known origin: {', '.join(left)}")
