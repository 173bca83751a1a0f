"""Graphs of the 8B model compiled without its weights: matrices that are too large stay inputs of the network, the rest
is random."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from stream_omni_build.deployment import read_deployment
from stream_omni_build.engines import tensorrt_api
from stream_omni_build.engines.compile_plan import compile_plan
from stream_omni_build.engines.engine_graph import engine_model
from stream_omni_build.engines.shapes import Profile, Shapes, profiles
from stream_omni_build.engines.stored_weights import attach, write

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.graphs import graphs
from stream_omni.networks import SOURCE_OF
from stream_omni.weights import TensorSource
from tests.build.engines.tiny import build_for_a_gpu_that_is_not_there

# weights: flow, vocoder and vision tower have no larger matrix, Llama's and the tables are larger
LARGEST_CONSTANT = 6_000_000


class Random:
    """As ``source`` in names and shapes; the values are drawn when they are asked for."""

    def __init__(self, source: TensorSource) -> None:
        self._source = source

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._source.shapes()

    def get(self, name: str) -> NDArray[np.float32]:
        shape = self.shapes()[name]
        values = np.random.default_rng(len(name)).standard_normal(shape, np.float32)
        return values / np.float32(math.sqrt(shape[-1]))


def compile_geometry(checkpoint: tuple[Path, Path], stage: str, name: str, folder: Path) -> tuple[float, int]:
    """Seconds of the compiler and bytes of the plan."""
    deployment, trt = read_deployment("gpu-1"), tensorrt_api.load(("tensorrt_rtx_bindings",))
    info = replace(read_model_info(*checkpoint), only_units=True)
    graph = graphs(info)[name]
    model, _, stored = engine_model(graph, info, deployment.stages[stage].precision)
    constants = [tensor for tensor in stored if math.prod(tensor.shape) <= LARGEST_CONSTANT]
    attach(model, constants, "weights")
    write(folder / "weights", constants, Random(open_sources(*checkpoint)[SOURCE_OF[name]]), lambda count: None)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    left = {tensor.name: Shapes(*[tensor.shape] * 3) for tensor in stored if tensor not in constants}
    described = [Profile(p.name, {**p.inputs, **left}) for p in profiles(graph, info, deployment)]
    began_s = time.monotonic()
    plan = folder / f"{name}.plan"
    compile_plan(trt, path, described, plan, print, build_for_a_gpu_that_is_not_there(trt))
    return time.monotonic() - began_s, plan.stat().st_size
