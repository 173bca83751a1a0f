"""The files of a checkpoint directory, opened with errors that say what is missing or wrong, and where."""

from __future__ import annotations

import json
from collections.abc import Mapping
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

    def number(self, key: str, default: float | None = None) -> float:
        value = self.values.get(key, default)
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
