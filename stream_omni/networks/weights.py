"""Where a network's parameters come from.

A network names its parameters as its graph needs them (query, key and value in one matrix, weight norm folded); a
checkpoint names them as training did. A :class:`Weight` is the way from one to the other for one parameter, so that
tensors can be read one at a time, and two graphs that need the same one can share it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn


class TensorSource(Protocol):
    """Lazily read named tensors (a safetensors directory, a mapped ``.pt`` file); always float32."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def get(self, name: str) -> Tensor: ...


def as_it_is(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Weight:
    """``combine(*[source tensors])`` is the parameter; ``shapes`` are what the sources must have in the checkpoint.

    ``combine`` is a plain module-level function or a ``functools.partial`` of one with hashable arguments, so that it
    is known without reading which weights are equal.
    """

    sources: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    combine: Callable[..., Tensor] = as_it_is

    @property
    def identity(self) -> Hashable:
        """Equal for weights that hold equal bytes of one source; a ``functools.partial`` itself equals no other."""
        combine = self.combine
        if isinstance(combine, partial):
            return self.sources, combine.func, combine.args, tuple(sorted(combine.keywords.items()))
        return self.sources, combine

    def read(self, tensors: TensorSource) -> Tensor:
        """Not contiguous where ``combine`` transposes: who writes it out in pieces is spared a whole copy."""
        return self.combine(*(tensors.get(name) for name in self.sources))


def weight(source: str, *shape: int) -> Weight:
    """A parameter that the checkpoint has just so."""
    return Weight((source,), (shape,))


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
    """Fill a network that was built on the "meta" device, tensor by tensor."""
    for name, origin in network.weights().items():
        owner, _, leaf = name.rpartition(".")
        parameter = nn.Parameter(origin.read(tensors).contiguous(), requires_grad=False)
        setattr(network.get_submodule(owner), leaf, parameter)
    left = [n for n, p in (*network.named_parameters(), *network.named_buffers()) if p.device == torch.device("meta")]
    if left:
        raise ValueError(f"{type(network).__name__} has parameters of no known origin: {', '.join(left)}")
