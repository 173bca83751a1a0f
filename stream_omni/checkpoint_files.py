"""The files of a checkpoint directory, opened with errors that say what is missing or wrong, and where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL_DIRECTORY = (
    "a Stream-Omni directory holds config.json, generation_config.json, model.safetensors (or "
    "model.safetensors.index.json and its shards), tokenizer.json and tokenizer_config.json"
)


class CheckpointError(ValueError):
    """A checkpoint lacks something, or holds it in a form that this product does not run."""


class Settings:
    """A JSON object with typed access; ``place`` names it in errors."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self.values, self.place = values, place

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Raises CheckpointError where the file is missing or no JSON object."""
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: {MODEL_DIRECTORY}")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{path} is no JSON: {error}") from error
        if not isinstance(values, dict):
            raise CheckpointError(f"{path} is no JSON object")
        return cls(values, str(path))

    def get(self, key: str) -> Any:
        """None where the key is absent."""
        return self.values.get(key)

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, "a whole number of at least 1")
        return value

    def number(self, key: str) -> float:
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, "a number")
        return float(value)

    def require(self, key: str, *allowed: object) -> None:
        """For a switch of which this product runs only some positions; an absent one stands for the first."""
        if self.values.get(key, allowed[0]) not in allowed:
            raise self.error(key, " or ".join(repr(a) for a in allowed))

    def error(self, key: str, wanted: str) -> CheckpointError:
        found = f"is {self.values[key]!r}" if key in self.values else "is missing"
        return CheckpointError(f"{self.place}: {key} {found}; it must be {wanted}")


@dataclass(frozen=True)
class StoredTensor:
    path: Path
    shape: tuple[int, ...]


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
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            if 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0) > size:
                raise ValueError("its tensors are cut off")
            return {name: StoredTensor(path, tuple(entry["shape"])) for name, entry in entries.items()}
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is no complete safetensors file: {error}") from error
