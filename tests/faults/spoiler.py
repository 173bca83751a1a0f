"""Lets a stage's network give something wrong, in the stage's own process, while a file says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stream_omni.runtime.onnx_runtime import OnnxSession
from stream_omni.runtime.session import Array

NAN, SHAPE, RAISES, REFUSES = "gives NaN", "gives a wrong shape", "raises", "raises a ValueError"
_HOOK = "\nfrom tests.faults.spoiler import obey\n\nobey({order!r})\n"


class Spoiler:
    """Of a copy in ``folder`` of the directory ``built``: ``spoiled`` is to be served."""

    def __init__(self, built: Path, folder: Path) -> None:
        self.spoiled, self._order = folder / "built", folder / "order.json"
        self.spoiled.mkdir()
        for part in ("assets", "graphs", "manifest.json"):
            (self.spoiled / part).symlink_to(built / part)
        shutil.copytree(built / "model_repository", self.spoiled / "model_repository")
        for model in self.spoiled.glob("model_repository/*/1/model.py"):
            with model.open("a") as file:
                file.write(_HOOK.format(order=str(self._order)))

    def start(self, graph: str, how: str) -> None:
        """Every run of ``graph`` is spoiled from now on, in whichever stage."""
        draft = self._order.with_suffix(".draft")
        draft.write_text(json.dumps([graph, how]))
        draft.replace(self._order)

    def stop(self) -> None:
        self._order.unlink()


def obey(order: str) -> None:
    """In a stage's process: beneath the product's own checks, where ONNX Runtime has given its outputs."""
    honest = OnnxSession._execute

    def execute(self: Any, inputs: Mapping[str, Array], caches: Sequence[Array]) -> dict[str, Array]:
        found = honest(self, inputs, caches)
        try:
            graph, how = json.loads(Path(order).read_text())
        except FileNotFoundError:
            return found
        if graph != self._name:
            return found
        if how == RAISES:
            raise RuntimeError("words of an engine's own")
        if how == REFUSES:
            np.zeros(3).reshape(2)  # words that must not reach who asked either: nothing is wrong with the question
        if how == SHAPE:
            return {name: array[..., :-1] for name, array in found.items()}
        if caches:
            caches[0][0, 0, inputs["positions"][0, 0], 0] = np.nan
        return {name: _with_one_nan(array) for name, array in found.items()}

    OnnxSession._execute = execute  # type: ignore[method-assign]


def _with_one_nan(array: Array) -> Array:
    """In the first row, where it has numbers that can be it."""
    spoiled = array.copy()
    if array.dtype.kind == "f" and array.size:
        spoiled.flat[0] = np.nan
    return spoiled
