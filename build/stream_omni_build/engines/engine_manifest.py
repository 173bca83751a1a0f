"""What was built for which GPU, and how it was checked: ``engines/manifest.json``, which a stage reads before it loads
a plan. A plan is of one GPU model and one TensorRT version, and runs on no other.

Each graph's record is written when it is complete, so an interrupted build goes on behind the last complete stage.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER, NAME = "engines", "manifest.json"
VERSION = 1  # of this file's form


@dataclass(frozen=True)
class Target:
    """Where plans run. ``bindings``: the module of TensorRT that made them."""

    tensorrt: str
    bindings: str
    gpu: str
    compute_capability: str  # such as "9.0"


@dataclass(frozen=True)
class FilePart:
    """A file beside the manifest."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class GraphRecord:
    """One engine. ``errors``: of each output, against ONNX Runtime in fp32 (see verify)."""

    graph: FilePart
    weights: FilePart
    plan: FilePart
    profiles: dict[str, dict[str, list[list[int]]]]  # name: input: least, best and most sizes
    errors: dict[str, float]
    seconds: dict[str, float]  # export, compile, verify


@dataclass(frozen=True)
class StageRecord:
    """``key``: of all that the engines follow from; another one, and they are built again. ``refused``: precisions that
    were asked for or tried, and why the stage is not in them. ``tensorrt_llm``: its version, where it has the stage."""

    key: str
    gpu: int
    asked: str
    precision: str
    refused: list[dict[str, str]]
    graphs: dict[str, GraphRecord]
    tensorrt_llm: str = ""

    def files(self) -> list[FilePart]:
        """What serving needs: the plans. Graphs and their weights are only of use to build again."""
        return [record.plan for record in self.graphs.values()]


@dataclass
class EngineManifest:
    target: Target
    deployment: dict[str, Any]
    stages: dict[str, StageRecord] = field(default_factory=dict)

    def save(self, out: Path) -> None:
        """Written beside and renamed: a reader finds the old one or the new one."""
        folder = out / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{NAME}.partial"
        content = {"version": VERSION, **dataclasses.asdict(self)}
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.rename(folder / NAME)

    @classmethod
    def load(cls, out: Path) -> EngineManifest | None:
        """None where there is none, or one of another form."""
        path = out / FOLDER / NAME
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("version") != VERSION:
            return None
        stages = {name: _stage(values) for name, values in content["stages"].items()}
        return cls(Target(**content["target"]), content["deployment"], stages)


def _stage(values: dict[str, Any]) -> StageRecord:
    graphs = {
        name: GraphRecord(**record | {part: FilePart(**record[part]) for part in ("graph", "weights", "plan")})
        for name, record in values["graphs"].items()
    }
    return StageRecord(**values | {"graphs": graphs})


def is_complete(out: Path, stage: StageRecord) -> bool:
    """Whether the plans are there in their sizes."""
    paths = [(out / FOLDER / part.file, part.bytes) for part in stage.files()]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)
