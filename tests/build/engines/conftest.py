"""The random tiny checkpoint as engines are made of it, and the compiler that runs without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stream_omni_build.deployment import Deployment, read_deployment
from stream_omni_build.engines import tensorrt_api

from stream_omni.checkpoint import open_sources
from stream_omni.model_info import ModelInfo
from tests.build.engines.tiny import Tiny


@pytest.fixture(scope="session")
def tiny(random_checkpoint: tuple[Path, Path], built: Path) -> Tiny:
    return Tiny(ModelInfo.load(built / "assets" / "model.json"), open_sources(*random_checkpoint), built)


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    return read_deployment("gpu-1")


@pytest.fixture(scope="session")
def trt() -> Any:
    """TensorRT-RTX, which parses and builds without a GPU. It cannot run what it builds."""
    return tensorrt_api.load(("tensorrt_rtx_bindings",))
