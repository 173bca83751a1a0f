"""Engines by TensorRT on this machine's GPUs. Never run without a GPU: all of it is listed in docs/production.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni_build.engines.compile_plan import compile_plan
from stream_omni_build.engines.engine_manifest import FOLDER
from stream_omni_build.engines.shapes import Profile
from stream_omni_build.engines.tensorrt_runner import TensorRtRunner
from stream_omni_build.engines.verify import Runner
from stream_omni_build.gpu_memory import compiler_workspace

TIMING_CACHE = "timing.cache"


class TensorRtMaker:
    """See :class:`~stream_omni_build.engines.workshop.Maker`. Compiles on the GPU that will run the engine."""

    def __init__(self, trt: Any, info: ModelInfo, gpu: int, out: Path, say: Callable[[str], None]) -> None:
        self._trt, self._info, self._gpu, self._out, self._say = trt, info, gpu, out, say

    def compile(self, name: str, graph: Path, profiles: list[Profile], plan: Path) -> None:
        with torch.cuda.device(self._gpu):
            torch.cuda.empty_cache()  # what the last check ran in
            limit = compiler_workspace(graphs(self._info)[name], self._info, profiles)
            cache = self._out / FOLDER / TIMING_CACHE
            compile_plan(self._trt, graph, profiles, plan, limit, self._say, timing_cache=cache)

    def runner(self, name: str, graph: Path, plan: Path) -> Runner:
        return TensorRtRunner(self._trt, plan, graphs(self._info)[name], self._gpu)
