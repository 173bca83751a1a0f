"""Tensors where they lie in a checkpoint's files: mapped into memory, so that reading one touches no other."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_omni.checkpoint_files import MODEL_DIRECTORY, CheckpointError, Settings
from stream_omni.weights import Shapes, TensorSource

# kind of a value, as safetensors names it: NumPy's type for its bytes
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
_KINDS |= {"U8": "u1", "BOOL": "?"}


@dataclass(frozen=True)
class StoredTensor:
    """``offset``: the first value's place in the file, in bytes. ``strides``, in values, where it is not row-major."""

    path: Path
    shape: tuple[int, ...]
    kind: str
    offset: int
    strides: tuple[int, ...] | None = None

    @property
    def end(self) -> int:
        """Where in the file its last value ends."""
        steps = self.strides or row_major(self.shape)
        last = sum(step * (size - 1) for step, size in zip(steps, self.shape, strict=True))
        return self.offset + (last + 1 if math.prod(self.shape) else 0) * value_bytes(self.kind)

    def read(self) -> NDArray[np.float32]:
        """In float32, whatever the file holds. Raises CheckpointError for values that cannot be."""
        stored = self.mapped()
        if self.kind == "BF16":  # the upper half of a float32
            return (stored.astype("<u4") << 16).view(np.float32)
        return np.asarray(stored, np.float32)

    def mapped(self) -> NDArray[Any]:
        """As the file holds it (BF16 as bits), read when it is looked at. Raises CheckpointError for unknown kinds."""
        if self.kind not in _KINDS:
            raise CheckpointError(f"{self.path} holds values of the kind {self.kind}; {', '.join(_KINDS)} can be read")
        if not math.prod(self.shape):
            return np.empty(self.shape, _KINDS[self.kind])
        width = value_bytes(self.kind)
        # mode "c": what the reader changes stays with the reader
        values = np.memmap(self.path, _KINDS[self.kind], "c", self.offset, ((self.end - self.offset) // width,))
        steps = [width * step for step in self.strides or row_major(self.shape)]
        return np.lib.stride_tricks.as_strided(values, self.shape, steps)


def value_bytes(kind: str) -> int:
    return np.dtype(_KINDS[kind]).itemsize


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


class CheckpointTensors:
    """A :class:`~stream_omni.weights.TensorSource` over single or sharded safetensors files."""

    def __init__(self, checkpoint: Path) -> None:
        """Reads only the headers. Raises CheckpointError where a file is missing or damaged."""
        self.directory = checkpoint
        self._index = read_tensor_index(checkpoint)

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: stored.shape for name, stored in self._index.items()}

    def get(self, name: str) -> NDArray[np.float32]:
        return self._index[name].read()

    def stored(self, name: str) -> StoredTensor:
        """Where it lies, for who copies it as it is."""
        return self._index[name]


def read_tensor_index(checkpoint: Path) -> dict[str, StoredTensor]:
    """Where each tensor of a safetensors checkpoint lies, single or sharded: only the files' headers are read.

    Raises CheckpointError where there are no such files, or one is missing or damaged.
    """
    single, index = checkpoint / "model.safetensors", checkpoint / "model.safetensors.index.json"
    if single.is_file():
        return _read_header(single)
    if not index.is_file():
        raise CheckpointError(f"{checkpoint} holds neither {single.name} nor {index.name}: {MODEL_DIRECTORY}")
    places = Settings.read(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise CheckpointError(f"{index}: weight_map must give the file of each tensor")
    shards = sorted(set(places.values()))
    if absent := [shard for shard in shards if not (checkpoint / shard).is_file()]:
        raise CheckpointError(f"{index} names files that are missing in {checkpoint}: {', '.join(absent)}")
    found: dict[str, StoredTensor] = {}
    for shard in shards:
        found |= _read_header(checkpoint / shard)
    return found


def _read_header(path: Path) -> dict[str, StoredTensor]:
    """A safetensors file begins with its header's length (8 bytes, little-endian) and the header, a JSON object."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        try:
            if length > size - 8:
                raise ValueError("its header is cut off")
            header = json.loads(file.read(length))
            found: dict[str, StoredTensor] = {}
            for name, entry in header.items():
                if name != "__metadata__":
                    begin, end = (8 + length + offset for offset in entry["data_offsets"])
                    stored = StoredTensor(path, tuple(entry["shape"]), entry["dtype"], begin)
                    if end > size:
                        raise ValueError("its tensors are cut off")
                    if stored.kind in _KINDS and stored.end != end:
                        raise ValueError(f"{name} does not fill its place")
                    found[name] = stored
            return found
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is no complete safetensors file: {error}") from error


def check_tensors(
    needed_of: Mapping[str, Shapes], sources: Mapping[str, TensorSource], places: Mapping[str, Path]
) -> None:
    """Raises one CheckpointError that lists all missing and misshapen tensors; logs one warning of all surplus ones."""
    faults: list[str] = []
    surplus: list[str] = []
    for key, needed in needed_of.items():
        held = sources[key].shapes()
        faults += [
            f"{places[key]}: {name} {list(shape)} is missing"
            if name not in held
            else f"{places[key]}: {name} is {list(held[name])}, but must be {list(shape)}"
            for name, shape in needed.items()
            if held.get(name) != shape
        ]
        surplus += [f"{places[key]}: {name} {list(held[name])}" for name in held if name not in needed]
    if surplus:
        logging.getLogger(__name__).warning("%s", "\n  ".join(["tensors that nothing uses:", *surplus]))
    if faults:
        lines = [f"{len(faults)} tensors are not as the configuration describes them:", *faults]
        raise CheckpointError("\n  ".join(lines))
