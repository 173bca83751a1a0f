"""``.pt`` files as PyTorch writes them (a zip archive of a pickle and of tensors' bytes), read without PyTorch.

A pickle is a program. This reader lets it make nothing but plain data and the places of tensors.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.tensor_files import StoredTensor, value_bytes

_LOCAL_HEADER_BYTES = 30  # of a zip archive's entry, before its name; two lengths stand at its end
# PyTorch's class of a storage: kind of its values
_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}


class PickledTensors:
    """A state dictionary as a :class:`~stream_omni.weights.TensorSource`: tensors are read when asked for. Entries that
    are no tensors (training's counters) are left out, and ``prefix`` is taken off the names that carry it."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self._tensors = {
            str(name).removeprefix(prefix): value
            for name, value in read_pickle(path).items()
            if isinstance(value, StoredTensor)
        }

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self._tensors.items()}

    def get(self, name: str) -> NDArray[np.float32]:
        return self._tensors[name].read()


def read_pickle(path: Path) -> Mapping[Any, Any]:
    """The file's named entries, with a StoredTensor for each tensor. Raises CheckpointError, whatever is wrong."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    try:
        content = _read(path)
    except Exception as error:  # a damaged file fails in many ways
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} cannot be read as tensors and plain data alone: {reason}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not named entries")
    return content


@dataclass(frozen=True)
class _Storage:
    kind: str
    begin: int
    end: int


def _read(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its values are big-endian")

        def storage(kind: str, key: str) -> _Storage:
            entry = archive.getinfo(f"{folder}data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError("its values are compressed")
            file.seek(entry.header_offset)
            header = file.read(_LOCAL_HEADER_BYTES)
            lengths = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))  # of name and extra field
            begin = entry.header_offset + _LOCAL_HEADER_BYTES + sum(lengths)
            return _Storage(kind, begin, begin + entry.file_size)

        def tensor(stored: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
            begin = stored.begin + offset * value_bytes(stored.kind)
            found = StoredTensor(path, tuple(shape), stored.kind, begin, tuple(strides))
            if min((offset, *shape, *strides)) < 0 or found.end > stored.end:
                raise ValueError("a tensor lies outside of its values")
            return found

        return _Unpickler(archive.read(pickled), storage, tensor).load()


class _Unpickler(pickle.Unpickler):
    """Whatever else a pickle names, it does not get."""

    def __init__(self, pickled: bytes, storage: Any, tensor: Any) -> None:
        super().__init__(io.BytesIO(pickled))
        self._storage = storage
        self._known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is neither a tensor nor plain data")
        return self._known[module, name]

    def persistent_load(self, place: Any) -> _Storage:
        """Of PyTorch: ("storage", the storage's class, key in the archive, device, number of values)."""
        _, kind, key, *_ = place
        found: _Storage = self._storage(kind, key)
        return found
