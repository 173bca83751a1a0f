"""Graphs that an earlier build made. Without their weights they are small, and fit every checkpoint of the same sizes;
with them a build needs neither PyTorch nor onnx."""

from __future__ import annotations

import shutil
from pathlib import Path

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni_build import weight_plan
from stream_omni_build.weight_plan import WeightPlan, graph_sizes

_MEND = "build without --graphs, which needs the extra `build`"


class GraphsError(ValueError):
    """A folder's graphs do not fit the checkpoint, or this version."""


def read_ready_plan(folder: Path, info: ModelInfo) -> WeightPlan:
    """Raises GraphsError."""
    missing = [name for name in ready_files(info) if not (folder / name).is_file()]
    if missing:
        raise GraphsError(f"{folder} lacks {', '.join(missing)}: give the folder graphs/ of a build")
    try:
        plan = WeightPlan.load(folder)
    except (ValueError, KeyError, TypeError) as error:
        raise GraphsError(f"{folder / weight_plan.NAME} cannot be read ({error}); {_MEND}") from error
    wanted = graph_sizes(info)
    if plan.sizes != wanted:
        differing = [key for key in wanted if plan.sizes.get(key) != wanted[key]]
        raise GraphsError(f"{folder} is of a checkpoint with another {', '.join(differing)}; {_MEND}")
    return plan


def ready_files(info: ModelInfo) -> list[str]:
    return [weight_plan.NAME, *(f"{name}.onnx" for name in graphs(info))]


def take_ready_graphs(folder: Path, info: ModelInfo, out: Path) -> None:
    """Copy them to ``out``/graphs."""
    for name in ready_files(info):
        shutil.copyfile(folder / name, out / "graphs" / name)


def check_interfaces(info: ModelInfo, out: Path) -> None:
    """Whether the graphs in ``out`` load, and take and give what this version's stages do. Raises GraphsError."""
    runtime = OnnxRuntime(out)
    for name, graph in graphs(info).items():
        try:
            found = runtime.load(name).interface
        except Exception as error:  # ONNX Runtime has an exception type for each way in which a file can be unusable
            raise GraphsError(f"graph {name} does not load: {error}; {_MEND}") from error
        wanted = ([tensor.name for tensor in graph.inputs], [tensor.name for tensor in graph.outputs])
        if found != wanted:
            raise GraphsError(f"graph {name} takes and gives {found}, but this version {wanted}; {_MEND}")
