"""What the tests of engines share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_omni.model_info import ModelInfo
from stream_omni.weights import TensorSource


@dataclass(frozen=True)
class Tiny:
    """The random tiny checkpoint. ``built``: the CPU target's build of it, for its assets."""

    info: ModelInfo
    sources: Mapping[str, TensorSource]
    built: Path


def build_for_a_gpu_that_is_not_there(trt: Any) -> Any:
    """What TensorRT-RTX needs to be told where there is none to ask."""

    def configure(config: Any) -> None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM89, 0)

    return configure
