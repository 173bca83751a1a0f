"""The shapes that an engine is compiled for, from the deployment profile: TensorRT's optimisation profiles.

The letters are those of :mod:`stream_omni.graphs`. A loop's graph has two profiles, a step of all turns and a piece of
a prompt, because the fastest kernels for one row and for hundreds differ. A runtime takes the first that fits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from stream_omni.graphs import Graph, Tensor
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.slots import CAPACITY_STEP
from stream_omni_build.deployment import Deployment

Shape = tuple[int, ...]


class Span(NamedTuple):
    """Of one axis: the least, the size that kernels are chosen for, the most."""

    least: int
    best: int
    most: int


class Shapes(NamedTuple):
    """Of one input."""

    least: Shape
    best: Shape
    most: Shape


@dataclass(frozen=True)
class Profile:
    """``inputs``: of every input that the graph has, its caches too, in the graph's order."""

    name: str
    inputs: Mapping[str, Shapes]


def profiles(graph: Graph, info: ModelInfo, deployment: Deployment) -> list[Profile]:
    """Raises KeyError for a graph that no stage of the deployment runs."""
    llama = info.llama
    caches = [Tensor(name, "", ("B", llama.kv_heads, "S", llama.head_size)) for name in graph.cache_names()]
    return [
        Profile(name, {tensor.name: _shapes(tensor, spans) for tensor in (*graph.inputs, *caches)})
        for name, spans in _spans(graph, info, deployment).items()
    ]


def _shapes(tensor: Tensor, spans: Mapping[str, Span]) -> Shapes:
    return Shapes(*(tuple(_size(axis, spans, i) for axis in tensor.axes) for i in range(3)))


def _size(axis: int | str, spans: Mapping[str, Span], which: int) -> int:
    if isinstance(axis, int):
        return axis
    factor, letter = re.fullmatch(r"(?:(\d+)\*)?([A-Z])", axis).groups()  # type: ignore[union-attr]
    return int(factor or 1) * spans[letter][which]


def _spans(graph: Graph, info: ModelInfo, deployment: Deployment) -> dict[str, dict[str, Span]]:
    """By profile name, the span of each letter."""
    batch = deployment.stage_of(graph.name).batch
    if graph.cache_layers:
        return _loop_spans(graph.name, deployment, batch)
    if graph.name == "vision_encoder":
        return {"tiles": {"B": Span(1, batch, batch)}}
    units = Span(*deployment.window_units[:1], _usual_units(deployment), deployment.window_units[1])
    frames = Span(*(_frames(info, count) for count in units))
    # conditional rows and those without a condition go as one batch
    rows = Span(2, 2, 2 * batch) if graph.name == "flow_estimator" else Span(1, 1, batch)
    return {"pieces": {"B": rows, "N": units, "T": frames}}


def _loop_spans(graph: str, deployment: Deployment, batch: int) -> dict[str, dict[str, Span]]:
    most = -(-deployment.positions // CAPACITY_STEP) * CAPACITY_STEP
    capacity = Span(CAPACITY_STEP, min(most, 8 * CAPACITY_STEP), most)
    turns, one = Span(1, batch, batch), Span(1, 1, 1)
    step = {"B": turns, "T": one, "S": capacity, "R": turns}
    # no logits are chosen where a prompt goes on: R is 0
    reading = {"B": one, "T": Span(2, *[deployment.prefill_positions] * 2), "S": capacity, "R": Span(0, 1, 1)}
    if graph == "speech_bottom":
        return {"prompt": reading | {"T": Span(1, *[deployment.prefill_positions] * 2)}}  # also one of one position
    if graph == "speech_bottom_step":
        return {"step": step}
    return {"step": step, "prompt": reading}


def _usual_units(deployment: Deployment) -> int:
    """Of the first piece, for which somebody waits in silence."""
    chunks = deployment.chunks
    return chunks.first_units + chunks.lookahead_units


def _frames(info: ModelInfo, units: int) -> int:
    """The most that so many units make, wherever they lie."""
    assert info.flow is not None
    assert info.vocoder is not None
    return MelClock.of(info.flow, info.vocoder).frames(units) + (0 if units == 1 else 1)
