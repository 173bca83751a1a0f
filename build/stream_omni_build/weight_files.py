"""The files that hold the graphs' weights, outside of them: each tensor once, however many graphs use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stream_omni.weights import FORMS, Shapes, TensorSource, Weight

ALIGNMENT_BYTES = 4096  # a page: ONNX Runtime maps tensors instead of reading them
BLOCK_BYTES = 32 << 20  # what is turned to row-major order at once


@dataclass(frozen=True)
class Place:
    """Where a tensor's little-endian values lie in its file."""

    weight: Weight
    shape: tuple[int, ...]
    offset: int

    @property
    def length(self) -> int:
        return self.weight.dtype.itemsize * math.prod(self.shape)

    def as_json(self) -> dict[str, Any]:
        form, arguments = self.weight.form
        sources = dict(zip(self.weight.sources, self.weight.shapes, strict=True))
        return {"offset": self.offset, "shape": self.shape, "form": form, "arguments": arguments, "sources": sources}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Place:
        sources: dict[str, list[int]] = values["sources"]
        combine, arguments = FORMS[values["form"]], [_hashable(argument) for argument in values["arguments"]]
        weight = Weight(
            tuple(sources),
            tuple(tuple(shape) for shape in sources.values()),
            partial(combine, *arguments) if arguments else combine,
        )
        return cls(weight, tuple(values["shape"]), values["offset"])


def _hashable(argument: Any) -> Any:
    return tuple(argument) if isinstance(argument, list) else argument


class WeightFile:
    """One file, planned tensor by tensor, then written in one pass. Its bytes follow from the plan and the source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self._places: dict[Hashable, Place] = {}

    @classmethod
    def of(cls, name: str, places: list[Place]) -> WeightFile:
        file = cls(name)
        for place in places:
            file._places[place.weight.identity] = place
            file.size = max(file.size, place.offset + place.length)
        return file

    @property
    def places(self) -> list[Place]:
        return list(self._places.values())

    def needed(self) -> Shapes:
        """The tensors that it is made of."""
        return {
            name: shape
            for place in self.places
            for name, shape in zip(place.weight.sources, place.weight.shapes, strict=True)
        }

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
            for place in self.places:
                tensor = place.weight.read(source)
                if tensor.shape != place.shape:
                    raise ValueError(f"{place.weight.sources} gave {tensor.shape}, not {place.shape}")
                file.seek(place.offset)
                rows = tensor[None] if tensor.ndim < 2 else tensor
                step = max(1, BLOCK_BYTES // (rows.itemsize * math.prod(rows.shape[1:])))
                for begin in range(0, len(rows), step):
                    values = np.ascontiguousarray(rows[begin : begin + step], place.weight.dtype)
                    file.write(values.data)
                    report(values.nbytes)
