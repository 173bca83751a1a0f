"""The files that hold the graphs' weights, outside of them: each tensor once, however many graphs use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stream_omni.networks.weights import TensorSource, Weight

ALIGNMENT_BYTES = 4096  # a page: ONNX Runtime maps tensors instead of reading them
BLOCK_BYTES = 32 << 20  # what is turned to row-major order at once


@dataclass(frozen=True)
class Place:
    """Where a tensor's little-endian float32 values lie in its file."""

    weight: Weight
    shape: tuple[int, ...]
    offset: int

    @property
    def length(self) -> int:
        return 4 * math.prod(self.shape)


class WeightFile:
    """One file, planned tensor by tensor, then written in one pass. Its bytes follow from the plan and the source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self._places: dict[Hashable, Place] = {}

    def place(self, weight: Weight, shape: tuple[int, ...]) -> Place:
        """A place for the tensor, or the one that it already has."""
        if weight.identity not in self._places:
            offset = -(-self.size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
            place = self._places[weight.identity] = Place(weight, shape, offset)
            self.size = offset + place.length
        found = self._places[weight.identity]
        if found.shape != shape:
            raise ValueError(f"{weight.sources} is needed both as {found.shape} and as {shape}")
        return found

    def write(self, folder: Path, source: TensorSource, report: Callable[[int], None]) -> None:
        """Read, combine and write one tensor at a time, so that memory holds only one. ``report`` hears of written
        bytes."""
        with (folder / self.name).open("wb") as file:
            for place in self._places.values():
                tensor = place.weight.read(source)
                if tensor.shape != place.shape:
                    raise ValueError(f"{place.weight.sources} gave {tuple(tensor.shape)}, not {place.shape}")
                file.seek(place.offset)
                rows = tensor.reshape(1, *tensor.shape) if tensor.ndim < 2 else tensor
                row_bytes = 4 * math.prod(rows.shape[1:])
                for block in torch.split(rows, max(1, BLOCK_BYTES // row_bytes)):
                    values = np.ascontiguousarray(block.numpy(), "<f4")
                    file.write(values.data)
                    report(values.nbytes)
