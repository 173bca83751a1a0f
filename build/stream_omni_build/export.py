"""A checkpoint's networks as ONNX graphs, whose weights lie in files beside them.

Memory does not grow with the checkpoint: networks are traced without weights, which are then copied tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import onnx

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.graphs import Graph, graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.weights import TensorSource
from stream_omni_build.progress import Progress, silent
from stream_omni_build.trace import trace
from stream_omni_build.weight_files import Place, WeightFile
from stream_omni_build.weight_plan import WeightPlan, graph_sizes


def export_graphs(checkpoint: Path, cosyvoice: Path | None, out: Path) -> None:
    """All that :class:`~stream_omni.runtime.onnx_runtime.OnnxRuntime` needs to run a checkpoint, written to ``out``.

    Raises CheckpointError where the directories do not hold what the networks need.
    """
    write_graphs(read_model_info(checkpoint, cosyvoice), open_sources(checkpoint, cosyvoice), out, silent())


def write_graphs(
    info: ModelInfo,
    sources: Mapping[str, TensorSource],
    out: Path,
    progress: Progress,
    names: Collection[str] | None = None,
) -> None:
    """Write ``out``/graphs/NAME.onnx for every graph (or those of ``names``), the weight files and their plan beside
    them, and ``out``/assets/model.json.

    The same checkpoint gives the same bytes. Raises NoSpaceError before anything large is written.
    """
    folder = out / "graphs"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {name: graph for name, graph in graphs(info).items() if names is None or name in names}
    keys = dict.fromkeys(sources if names is None else (SOURCE_OF[name] for name in wanted))
    plan = WeightPlan(graph_sizes(info), {key: WeightFile(f"{key}.weights") for key in keys})
    for graph in wanted.values():
        with progress.step(f"export {graph.name}"):
            _export(graph, info, plan.files[SOURCE_OF[graph.name]], folder)
    plan.save(folder)
    plan.write(folder, sources, progress)
    for name in wanted:
        onnx.checker.check_model(str(folder / f"{name}.onnx"))
    (out / "assets").mkdir(exist_ok=True)
    info.save(out / "assets" / "model.json")


def _export(graph: Graph, info: ModelInfo, file: WeightFile, folder: Path) -> None:
    network = make_network(graph.name, info)
    weights = network.weights()
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    model = trace(graph, network, info.llama)
    inputs = {value.name: value for value in model.graph.input}
    for name in shapes:
        if name in inputs:  # else the graph does not use it
            model.graph.input.remove(inputs[name])
            model.graph.initializer.append(_external(name, file.name, file.place(weights[name], shapes[name])))
    onnx.save(model, folder / f"{graph.name}.onnx")


def _external(name: str, location: str, place: Place) -> onnx.TensorProto:
    tensor = onnx.TensorProto(
        name=name,
        data_type=onnx.helper.np_dtype_to_tensor_dtype(place.weight.dtype),
        dims=place.shape,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in (("location", location), ("offset", place.offset), ("length", place.length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
