"""What the weight files of a build hold, written down beside them, so that they can be written again from any
checkpoint of the same sizes without the networks that they were planned for (and so without PyTorch)."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_omni.model_info import ModelInfo
from stream_omni.weights import Shapes, TensorSource
from stream_omni_build.progress import Progress
from stream_omni_build.weight_files import Place, WeightFile

NAME = "weights.json"


class NoSpaceError(RuntimeError):
    """The disk cannot take what a build would write."""


@dataclass(frozen=True)
class WeightPlan:
    """``sizes`` of the checkpoint that the graphs fit (see :func:`graph_sizes`); a file for each tensor source."""

    sizes: dict[str, Any]
    files: dict[str, WeightFile]

    @classmethod
    def load(cls, folder: Path) -> WeightPlan:
        """Raises FileNotFoundError, and ValueError or KeyError where it is none."""
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        files = {
            key: WeightFile.of(file["name"], [Place.from_json(place) for place in file["tensors"]])
            for key, file in content["files"].items()
        }
        return cls(content["sizes"], files)

    def save(self, folder: Path) -> None:
        """One tensor a line: the file is compared in reviews."""
        files = []
        for key, file in self.files.items():
            tensors = ",\n   ".join(json.dumps(place.as_json()) for place in file.places)
            files.append(f'  {json.dumps(key)}: {{"name": {json.dumps(file.name)}, "tensors": [\n   {tensors}]}}')
        text = f'{{"sizes": {json.dumps(self.sizes)},\n "files": {{\n' + ",\n".join(files) + "}}\n"
        (folder / NAME).write_text(text, encoding="utf-8")

    def needed(self) -> dict[str, Shapes]:
        """By tensor source, what the files are made of."""
        return {key: file.needed() for key, file in self.files.items()}

    def write(self, folder: Path, sources: Mapping[str, TensorSource], progress: Progress) -> None:
        """Raises NoSpaceError before anything is written."""
        needed, free = sum(file.size for file in self.files.values()), shutil.disk_usage(folder).free
        if needed > free:
            raise NoSpaceError(f"{folder} has {free / 1e9:.1f} GB free; the weights need {needed / 1e9:.1f} GB")
        for key, file in self.files.items():
            with progress.step(f"write {file.name} ({file.size / 1e9:.2f} GB)"):
                file.write(folder, sources[key], progress.counter(file.name, file.size))


def graph_sizes(info: ModelInfo) -> dict[str, Any]:
    """What graphs follow from, of a checkpoint's description: all of it but what only their host reads."""
    host = {"name", "image", "context_tokens", "system_prompt", "default_voice"}
    sizes = {key: value for key, value in dataclasses.asdict(info).items() if key not in host}
    if sizes["vocoder"]:
        sizes["vocoder"] = {key: v for key, v in sizes["vocoder"].items() if not key.startswith("harmonic_")}
    found: dict[str, Any] = json.loads(json.dumps(sizes))  # as it is read from a file: lists for tuples
    return found
