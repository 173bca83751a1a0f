"""One graph of a checkpoint as an engine is made of it: in its precision, with its weights, in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from stream_omni.graphs import Graph
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.weights import TensorSource, Weight
from stream_omni_build.engines.precision import lower
from stream_omni_build.engines.quantize import quantize
from stream_omni_build.engines.stored_weights import CODES, Stored, attach, write
from stream_omni_build.progress import Progress
from stream_omni_build.trace import trace

CODES_COMPUTE_IN = "bf16"  # what weights of 8 bits are multiplied in


def engine_model(
    graph: Graph, info: ModelInfo, precision: str
) -> tuple[onnx.ModelProto, dict[str, Weight], list[Stored]]:
    """The graph in a precision, its parameters still inputs; where they come from; how they are to be stored."""
    network = make_network(graph.name, info)
    weights = network.weights()
    model = trace(graph, network, info.llama, only_new=bool(graph.cache_layers))
    compute = CODES_COMPUTE_IN if precision in CODES else precision
    found = lower(model, compute, weights, {*graph.cache_names(), *graph.new_cache_names()})
    if precision in CODES:
        return model, weights, quantize(model, precision, weights, found)
    sizes = {value.name: tuple(a.dim_value for a in value.type.tensor_type.shape.dim) for value in model.graph.input}
    return model, weights, [Stored(name, weights[name], sizes[name], form) for name, form in found.items()]


def weights_file(graph: Graph, precision: str) -> str:
    return f"{graph.name}.{precision}.weights"


def graph_file(graph: Graph, precision: str) -> str:
    return f"{graph.name}.{precision}.onnx"


def write_engine_graph(
    graph: Graph,
    info: ModelInfo,
    precision: str,
    sources: Mapping[str, TensorSource],
    folder: Path,
    progress: Progress,
) -> Path:
    """``folder``/NAME.PRECISION.onnx and its weights; the path of the former, which is written last and so is there
    only when both are complete. Raises RangeError where a weight does not fit the precision."""
    folder.mkdir(parents=True, exist_ok=True)
    model, _, stored = engine_model(graph, info, precision)
    location = weights_file(graph, precision)
    size = attach(model, stored, location)
    count = progress.counter(location, size)
    write(folder / location, stored, sources[SOURCE_OF[graph.name]], count)
    path = folder / graph_file(graph, precision)
    partial = path.with_suffix(".partial")
    onnx.save(model, partial)
    partial.rename(path)
    return path
