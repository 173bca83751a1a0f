"""Graphs of the 8B model compiled without its weights: matrices that are too large stay inputs of the network, the rest
is random. Those of 8 bits must be constants, and all are random then."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from numpy.typing import NDArray
from stream_omni_build.deployment import read_deployment
from stream_omni_build.engines import compile_plan as compile_plan_module
from stream_omni_build.engines import tensorrt_api
from stream_omni_build.engines.compile_plan import compile_plan, make_logger
from stream_omni_build.engines.engine_graph import engine_model
from stream_omni_build.engines.shapes import Profile, Shapes, profiles
from stream_omni_build.engines.stored_weights import attach, write
from stream_omni_build.gpu_memory import compiler_workspace, run_workspace

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


@dataclass(frozen=True)
class Case:
    """``precision``: the profile's, unless told; ``layers``: of the LLM, all unless told."""

    profile: str
    stage: str
    graph: str
    precision: str = ""
    layers: int = 0

    def __str__(self) -> str:
        return "-".join(str(part) for part in (self.profile, self.graph, self.precision, self.layers) if part)

    @property
    def made_in(self) -> str:
        return self.precision or read_deployment(self.profile).stages[self.stage].precision

    @property
    def holds_weights(self) -> bool:
        """Whether the plan does: weights of 8 bits must be constants."""
        return self.made_in in ("int8", "fp8")


@dataclass(frozen=True)
class Compiled:
    """``scratch_bytes``: what a run of the engine may take beside inputs and outputs; ``planned_bytes``: what the
    hardware table counts for it."""

    seconds: float
    plan_bytes: int
    scratch_bytes: int
    planned_bytes: int

    def __str__(self) -> str:
        scratch, planned = self.scratch_bytes / 1e9, self.planned_bytes / 1e9
        plan = f"a plan of {self.plan_bytes / 1e6:.0f} MB"
        return f"{self.seconds:.1f} s, {plan}, {scratch:.2f} GB of scratch where {planned:.2f} GB are planned"


def compile_geometry(checkpoint: tuple[Path, Path], case: Case, folder: Path) -> Compiled:
    name, trt = case.graph, tensorrt_api.load(("tensorrt_rtx_bindings",))
    deployment, info = read_deployment(case.profile), replace(read_model_info(*checkpoint), only_units=True)
    precision = case.made_in
    if case.layers:
        info = replace(info, llama=replace(info.llama, llm_layers=case.layers))
    graph = graphs(info)[name]
    model, _, stored = engine_model(graph, info, precision)
    largest = math.inf if case.holds_weights else LARGEST_CONSTANT
    constants = [tensor for tensor in stored if math.prod(tensor.shape) <= largest]
    attach(model, constants, "weights")
    write(folder / "weights", constants, Random(open_sources(*checkpoint)[SOURCE_OF[name]]), lambda count: None)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    left = {tensor.name: Shapes(*[tensor.shape] * 3) for tensor in stored if tensor not in constants}
    described = [Profile(p.name, {**p.inputs, **left}) for p in profiles(graph, info, deployment)]
    began_s = time.monotonic()
    plan = folder / f"{name}.plan"
    shapes = profiles(graph, info, deployment)
    limit, scratch = compiler_workspace(graph, info, shapes), [0]
    with patch.object(compile_plan_module, "make_logger", partial(_listening, scratch)):
        compile_plan(trt, path, described, plan, limit, print, build_for_a_gpu_that_is_not_there(trt))
    seconds = time.monotonic() - began_s
    return Compiled(seconds, plan.stat().st_size, max(scratch), run_workspace(graph, info, shapes))


def _listening(scratch: list[int], trt: Any) -> Any:
    """The compiler's logger, which also hears what the engine's profiles will take."""
    logger = make_logger(trt)

    class Listening(type(logger)):  # type: ignore[misc]
        def log(self, severity: Any, message: str) -> None:
            if found := re.search(r"Max Scratch Memory: (\d+) bytes", message):
                scratch.append(int(found[1]))
            super().log(severity, message)

    return Listening()
