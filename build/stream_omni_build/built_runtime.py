"""The graphs of a built directory, each run as its stage runs it in a server: for comparing, not for serving."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from stream_omni.model_info import ModelInfo
from stream_omni.runtime.engine_manifest import settled_precision
from stream_omni.runtime.session import Runtime, Session
from stream_omni.serving.stage_runtime import Chosen, Place, info_of, open_runtime, open_text_engine
from stream_omni_build.deployment import ENGINES, GRAPHS_OF

_LOSSES = ("fp32", "fp16", "bf16", "int8", "fp8")  # precisions, by what they lose


class BuiltRuntime:
    """Opens a stage's runtime when one of its graphs is first asked for. ``hidden``: graphs that nobody can look into,
    since TensorRT-LLM runs them."""

    def __init__(self, out: Path) -> None:
        """Raises FileNotFoundError, and EngineMismatchError where engines are missing."""
        self.info = info_of(out)
        self._out = out
        self._stages = {stage: _read(out, stage) for stage in GRAPHS_OF}
        self._runtimes: dict[str, Runtime] = {}
        self._text_engines: dict[int, Any] = {}
        self.hidden = ("llm",) if self._stages["llm"][0].engine == "tensorrt-llm" else ()

    @property
    def precision(self) -> str:
        """The lowest of all stages."""
        return max((chosen.precision for chosen, _ in self._stages.values()), key=_LOSSES.index)

    @staticmethod
    def text_engine(runtime: BuiltRuntime, info: ModelInfo, slots: int, prefix_bytes: int) -> Any:
        """As TextEngine.served, on whatever the stage ``llm`` runs on. One for all who ask for as many slots: two of
        TensorRT-LLM's would hold the weights twice."""
        if slots not in runtime._text_engines:
            chosen, gpu = runtime._stages["llm"]
            place = Place(runtime._out, "llm", gpu, threads=1)
            runtime._text_engines[slots] = open_text_engine(chosen, place, slots, prefix_bytes)
        return runtime._text_engines[slots]

    def session(self, graph: str) -> Session:
        """Raises KeyError for one that no stage runs, or that is hidden."""
        stage = next((name for name in GRAPHS_OF if graph in (*GRAPHS_OF[name], name)), None)
        if stage is None or stage in self.hidden:
            raise KeyError(graph)
        if stage not in self._runtimes:
            chosen, gpu = self._stages[stage]
            self._runtimes[stage] = open_runtime(chosen, Place(self._out, stage, gpu, threads=1))
        return self._runtimes[stage].session(graph)


def _read(out: Path, stage: str) -> tuple[Chosen, int]:
    """What a model's configuration says it runs on, in the precision that its engines ended up in, and its GPU."""
    path = out / "model_repository" / stage / "config.pbtxt"
    config: Any = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    gpu = config.instance_group[0].gpus[0] if config.instance_group[0].gpus else 0
    if config.platform == "tensorrt_plan":
        chosen = Chosen("tensorrt")
    else:
        chosen = Chosen(**json.loads(config.parameters["runtime"].string_value))
    if chosen.engine in ENGINES:
        chosen = dataclasses.replace(chosen, precision=settled_precision(out, stage))
    return chosen, gpu
