"""What engines are built for: the GPUs of this machine, and their TensorRT."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from stream_omni_build.deployment import Deployment
from stream_omni_build.engines import tensorrt_api
from stream_omni_build.engines.engine_manifest import Target


@dataclass(frozen=True)
class Machine:
    """``trt``: TensorRT's bindings, or None; ``missing``: what keeps engines from being compiled and checked here."""

    trt: Any
    target: Target | None
    missing: tuple[str, ...]


def look(deployment: Deployment) -> Machine:
    """Never fails: what is missing is told when all else has been done. PyTorch's stages need nothing to be built."""
    engines = {stage.engine for stage in deployment.stages.values()}
    if not engines & {"tensorrt", "tensorrt-llm"}:
        return Machine(None, None, ())
    missing = []
    try:
        trt = tensorrt_api.load(("tensorrt",))
    except tensorrt_api.NoTensorRtError as error:
        trt = None
        missing.append(str(error))
    if "tensorrt-llm" in engines and find_spec("tensorrt_llm") is None:
        missing.append("TensorRT-LLM is missing (tensorrt_llm), which that image holds as well")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < deployment.gpus:
        wanted = f"{deployment.gpus} CUDA {'GPU' if deployment.gpus == 1 else 'GPUs'}"
        missing.append(f"profile {deployment.name} needs {wanted}, and this machine shows PyTorch {found or 'none'}")
    if missing:
        return Machine(trt, None, tuple(missing))
    names = {torch.cuda.get_device_name(i) for i in range(deployment.gpus)}
    if len(names) > 1:
        return Machine(
            trt, None, (f"the GPUs differ ({', '.join(sorted(names))}): plans of one do not run on another",)
        )
    major, minor = torch.cuda.get_device_capability(0)
    return Machine(trt, Target(str(trt.__version__), trt.__name__, names.pop(), f"{major}.{minor}"), ())
