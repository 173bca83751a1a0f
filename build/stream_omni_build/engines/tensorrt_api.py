"""The bindings of TensorRT, whichever there are: 10.14 and 11 in their containers, TensorRT-RTX where a compile shall
be proved without a GPU. Code here uses only what all of them have (tests/build/engines/test_tensorrt_api.py)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

MODULES = ("tensorrt", "tensorrt_rtx_bindings")


class NoTensorRtError(RuntimeError):
    """No bindings can be imported."""


def load(modules: tuple[str, ...] = MODULES) -> Any:
    """Raises NoTensorRtError, which says where they are found."""
    for name in modules:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise NoTensorRtError(
        f"TensorRT is missing ({' or '.join(modules)}): run this in the image of build/Dockerfile, which holds it"
    )
