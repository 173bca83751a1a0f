"""The project's networks in training.

What is trained are the checkpoint's tensors, under their names in its files. Each step makes a network's parameters of
them as a build does (:class:`~stream_omni.weights.Weight`), so that what is trained is what is served, and a
tensor that two networks share is trained by both.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call

from stream_omni.model_info import ModelInfo
from stream_omni.networks.needs import needed_tensors
from stream_omni.networks.weights import Network


class Tensors:
    """One file's tensors as parameters: a :class:`~stream_omni.weights.TensorSource` that can be trained."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.parameters = {name: nn.Parameter(tensor) for name, tensor in tensors.items()}

    @classmethod
    def random(cls, info: ModelInfo, source: str, seed: int) -> Tensors:
        """``source``: "model", "flow" or "hift", as in :data:`stream_omni.networks.SOURCE_OF`."""
        generator = torch.Generator().manual_seed(seed)
        shapes = needed_tensors(info)[source]
        tensors: dict[str, Tensor] = {}
        for name in sorted(shapes, key=lambda name: name.endswith("weight_g")):  # those follow from their weight_v
            tensors[name] = _initial(name, shapes[name], tensors, generator)
        return cls(tensors)

    @classmethod
    def load(cls, path: Path) -> Tensors:
        return cls(load_file(path))

    def with_those_of(self, other: Tensors) -> Tensors:
        """These, and ``other``'s in place of the ones that it has too. The parameters are the same ones."""
        joined = Tensors({})
        joined.parameters = {**self.parameters, **other.parameters}
        return joined

    def save(self, path: Path, *modules: nn.Module) -> None:
        """All tensors, or those that the networks within ``modules`` are made of."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        names = self.names_of(*modules) if modules else list(self.parameters)
        save_file({name: self.parameters[name].detach().contiguous() for name in names}, partial)
        partial.replace(path)

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tuple(p.shape) for name, p in self.parameters.items()}

    def get(self, name: str) -> Tensor:
        return self.parameters[name]

    def used_by(self, *modules: nn.Module, kept: Collection[str] = ()) -> list[nn.Parameter]:
        """The parameters that the networks within ``modules`` are made of, each once; not those that are ``kept``."""
        return [self.parameters[name] for name in self.names_of(*modules) if name not in kept]

    @staticmethod
    def names_of(*modules: nn.Module) -> list[str]:
        """Of the tensors that the networks within ``modules`` are made of, each once."""
        origins = (network.weights().values() for module in modules for network in _networks(module).values())
        return sorted({name for weights in origins for weight in weights for name in weight.sources})

    def run(self, module: nn.Module, *inputs: Any) -> Any:
        """``module(*inputs)``, with the parameters of every network within it made of these tensors."""
        made = {
            f"{path}.{name}" if path else name: weight.combine(*(self.get(source) for source in weight.sources))
            for path, network in _networks(module).items()
            for name, weight in network.weights().items()
        }
        return functional_call(module, made, inputs)


def _networks(module: nn.Module) -> dict[str, Network]:
    return {path: part for path, part in module.named_modules() if isinstance(part, Network)}


def _initial(name: str, shape: tuple[int, ...], before: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
    """Norms pass everything, biases and the ends of residual branches begin small, all else keeps the variance."""
    if name.endswith("weight_g"):
        norms: Tensor = before[name.removesuffix("g") + "v"].flatten(1).norm(dim=1)
        return norms.reshape(shape)
    if name.endswith("alpha") or (len(shape) == 1 and "norm" in name and name.endswith("weight")):
        return torch.ones(shape)
    if len(shape) == 1:
        return torch.zeros(shape)
    fan_in = math.prod(shape[1:])
    ends_branch = name.endswith(("o_proj.weight", "down_proj.weight", "out_proj.weight", "fc2.weight", "w_2.weight"))
    gain = 0.3 if ends_branch else 1.0
    return torch.randn(shape, generator=generator) * gain / math.sqrt(fan_in)
