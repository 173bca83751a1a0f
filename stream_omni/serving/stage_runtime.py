"""What runs a stage's graphs: the model's parameter ``runtime``, as a deployment chose it.

Each runtime is imported where it is chosen: a stage on the CPU never loads PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_omni.model_info import ModelInfo
from stream_omni.runtime.prefill import CHUNK_TOKENS
from stream_omni.runtime.session import Runtime

# of a build for PyTorch, which needs no graphs: links to the two directories
CHECKPOINT, COSYVOICE = "checkpoint", "cosyvoice"


@dataclass(frozen=True)
class Chosen:
    """``engine``: "onnxruntime", "tensorrt", "torch" or, of the LLM, "tensorrt-llm"; ``precision`` is asked of the last
    two (a plan has its own); ``chunk_tokens``: of a prompt, read in one step."""

    engine: str = "onnxruntime"
    precision: str = "fp32"
    chunk_tokens: int = CHUNK_TOKENS


@dataclass(frozen=True)
class Place:
    """Where a model's process is to work."""

    artifacts: Path
    stage: str
    gpu: int
    threads: int  # of ONNX Runtime


def open_runtime(chosen: Chosen, place: Place) -> Runtime:
    """Raises EngineMismatchError, FileNotFoundError or CheckpointError, which say what mends it."""
    match chosen.engine:
        case "onnxruntime":
            from stream_omni.runtime.onnx_runtime import OnnxRuntime

            return OnnxRuntime(place.artifacts, place.threads)
        case "tensorrt":
            from stream_omni.runtime.tensorrt_runtime import TensorRtRuntime

            return TensorRtRuntime(place.artifacts, place.stage, place.gpu, chosen.chunk_tokens)
        case "torch":
            from stream_omni.runtime.torch_runtime import Device, TorchRuntime, type_of

            device = Device(f"cuda:{place.gpu}", type_of(chosen.precision), chosen.chunk_tokens)
            checkpoint, cosyvoice = place.artifacts / CHECKPOINT, place.artifacts / COSYVOICE
            return TorchRuntime(checkpoint, cosyvoice, device, info_of(place.artifacts))
    raise ValueError(f"{place.stage} cannot run on {chosen.engine}")


def open_text_engine(chosen: Chosen, place: Place, slots: int, prefix_bytes: int) -> Any:
    """What the stage ``llm`` drives."""
    info = info_of(place.artifacts)
    if chosen.engine == "tensorrt-llm":
        from stream_omni.tensorrt_llm_engine import TensorRtLlmEngine

        return TensorRtLlmEngine.served(place.artifacts, info, slots, place.gpu, chosen.precision)
    from stream_omni.text_engine import TextEngine

    return TextEngine.served(open_runtime(chosen, place), info, slots, prefix_bytes)


def info_of(artifacts: Path) -> ModelInfo:
    """Of a build. Raises FileNotFoundError."""
    path = artifacts / "assets" / "model.json"
    if not path.is_file():
        command = f"stream-omni build --checkpoint DIR --cosyvoice DIR --target cpu --out {artifacts}"
        raise FileNotFoundError(f"{path} does not exist; build it with: {command}")
    return ModelInfo.load(path)


def place_of(args: Mapping[str, str], artifacts: Path, threads: int) -> Place:
    """From the arguments of ``initialize``, in which the instance group's GPU is named."""
    return Place(artifacts, args["model_name"], int(args.get("model_instance_device_id", "0")), threads)
