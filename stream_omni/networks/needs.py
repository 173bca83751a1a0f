"""Compares what the networks need with what a checkpoint holds, by names and shapes alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.networks.weights import TensorSource

Shapes = dict[str, tuple[int, ...]]


def needed_tensors(info: ModelInfo) -> dict[str, Shapes]:
    """Shapes by tensor name, for each tensor source (see ``networks.SOURCE_OF``): those of all networks, and those that
    are used outside them."""
    needed: dict[str, Shapes] = {"model": {"model.image_newline": (info.llama.hidden,)}}
    if info.vocoder:
        harmonics = info.vocoder.harmonics
        needed["hift"] = {"m_source.l_linear.weight": (1, harmonics), "m_source.l_linear.bias": (1,)}
    for graph in graphs(info):
        found = needed.setdefault(SOURCE_OF[graph], {})
        for weight in make_network(graph, info).weights().values():
            found |= zip(weight.sources, weight.shapes, strict=True)
    return needed


def check_tensors(info: ModelInfo, sources: Mapping[str, TensorSource], places: Mapping[str, Path]) -> None:
    """Raises one CheckpointError that lists all missing and misshapen tensors; logs one warning of all surplus ones."""
    faults: list[str] = []
    surplus: list[str] = []
    for key, needed in needed_tensors(info).items():
        held = sources[key].shapes()
        faults += [
            f"{places[key]}: {name} {list(shape)} is missing"
            if name not in held
            else f"{places[key]}: {name} is {list(held[name])}, but must be {list(shape)}"
            for name, shape in needed.items()
            if held.get(name) != shape
        ]
        surplus += [f"{places[key]}: {name} {list(held[name])}" for name in held if name not in needed]
    if surplus:
        logging.getLogger(__name__).warning("%s", "\n  ".join(["tensors that nothing uses:", *surplus]))
    if faults:
        lines = [f"{len(faults)} tensors are not as the configuration describes them:", *faults]
        raise CheckpointError("\n  ".join(lines))
