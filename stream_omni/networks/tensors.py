"""Lazily read tensors of a Stream-Omni checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from stream_omni.checkpoint_files import read_tensor_index


class Tensors:
    """A :class:`~stream_omni.networks.weights.TensorSource` over single or sharded safetensors files.

    Files are mapped into memory: reading one tensor touches no other.
    """

    def __init__(self, checkpoint: Path) -> None:
        """Reads only the headers. Raises CheckpointError where a file is missing or damaged."""
        self._index = read_tensor_index(checkpoint)
        self._files: dict[Path, Any] = {}

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: stored.shape for name, stored in self._index.items()}

    def get(self, name: str) -> Tensor:
        """In float32, whatever the file holds."""
        path = self._index[name].path
        if path not in self._files:
            self._files[path] = safe_open(path, framework="pt")
        tensor: Tensor = self._files[path].get_tensor(name)
        return tensor.to(torch.float32)
