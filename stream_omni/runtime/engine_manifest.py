"""Whether the engines of a build are for the machine that is to run them: read before a plan is loaded.

``engines/manifest.json`` is what ``stream-omni build`` wrote of them. A plan runs on one GPU model and one TensorRT
version; on another one TensorRT fails late and with words that help nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER, NAME = "engines", "manifest.json"
NOT_REPLAYED = "not replayed"  # in place of what a build's replay found: it was left out
VERSION = 1  # of the file's form


class EngineMismatchError(RuntimeError):
    """Engines that are missing, damaged, or for another machine. The message ends with the command that mends it."""


@dataclass(frozen=True)
class Machine:
    """What a plan depends on; ``compute_capability`` such as "9.0"."""

    tensorrt: str
    gpu: str
    compute_capability: str


@dataclass(frozen=True)
class Plans:
    """A stage's plans by graph, and the precision that they ended up in."""

    precision: str
    files: Mapping[str, Path]


def check_machine(artifacts: Path, machine: Machine) -> None:
    """Raises EngineMismatchError where the build's engines are for another machine."""
    content = _read(artifacts)
    target = content["target"]
    built = Machine(target["tensorrt"], target["gpu"], target["compute_capability"])
    if built != machine:
        raise _mismatch(artifacts, content, f"the engines are for {_words(built)}, and this is {_words(machine)}")


def find_plans(artifacts: Path, stage: str, machine: Machine) -> Plans:
    """Of a stage, whole and for this machine. Raises EngineMismatchError."""
    check_machine(artifacts, machine)
    content, record = _record(artifacts, stage)
    files = {}
    for graph, made in record["graphs"].items():
        files[graph] = artifacts / FOLDER / made["plan"]["file"]
        if fault := _fault(files[graph], made["plan"]):
            raise _mismatch(artifacts, content, fault)
    return Plans(record["precision"], files)


def settled_precision(artifacts: Path, stage: str) -> str:
    """What a stage's engines run in, which may be higher than what was asked for. Raises EngineMismatchError."""
    return str(_record(artifacts, stage)[1]["precision"])


def check_tensorrt_llm(artifacts: Path, stage: str, version: str) -> None:
    """Its engines are of one TensorRT-LLM, whatever TensorRT is in it. Raises EngineMismatchError."""
    content, record = _record(artifacts, stage)
    built = record.get("tensorrt_llm") or "an unknown version"
    if built != version:
        raise _mismatch(artifacts, content, f"the engine of {stage} is for TensorRT-LLM {built}, and this is {version}")


def check_placed_plans(artifacts: Path) -> None:
    """Of the stages that Triton's own TensorRT backend runs: their plan is the one of the manifest. Nothing is done for
    a build without engines. Raises EngineMismatchError."""
    if not (artifacts / FOLDER / NAME).is_file():
        return
    content = _read(artifacts)
    for stage, path in placed_plans(artifacts):
        (made,) = content["stages"][stage]["graphs"].values()
        if fault := _fault(path, made["plan"]):
            raise _mismatch(artifacts, content, fault)


def placed_plans(artifacts: Path) -> Iterator[tuple[str, Path]]:
    """Stages whose plan lies in the model repository."""
    for path in sorted((artifacts / "model_repository").glob("*/1/model.plan")):
        yield path.parents[1].name, path


def was_replayed(artifacts: Path) -> bool:
    """Whether a build was held as a whole, as far as its manifest says."""
    path = artifacts / NAME
    return not path.is_file() or json.loads(path.read_text(encoding="utf-8")).get("replay") != NOT_REPLAYED


def _record(artifacts: Path, stage: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest, and what it says of a stage."""
    content = _read(artifacts)
    if stage not in content["stages"]:
        raise _mismatch(artifacts, content, f"there are no engines of {stage}")
    return content, content["stages"][stage]


def _read(artifacts: Path) -> dict[str, Any]:
    path = artifacts / FOLDER / NAME
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _mismatch(artifacts, {}, "no engines have been built here") from None
    except ValueError as error:
        raise _mismatch(artifacts, {}, f"{path.name} cannot be read ({error})") from error
    if content.get("version") != VERSION:
        raise _mismatch(artifacts, content, f"{path.name} has the form {content.get('version')}, not {VERSION}")
    return content


def _fault(path: Path, part: Mapping[str, Any]) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    if path.stat().st_size != part["bytes"]:
        return f"{path.name} has {path.stat().st_size} bytes instead of {part['bytes']}"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return None if found == part["sha256"] else f"{path.name} is not the file that was built: its digest differs"


def _words(machine: Machine) -> str:
    return f"{machine.gpu} (compute capability {machine.compute_capability}) with TensorRT {machine.tensorrt}"


def _mismatch(artifacts: Path, content: Mapping[str, Any], what: str) -> EngineMismatchError:
    profile = content.get("deployment", {}).get("name", "gpu-1")
    command = f"stream-omni build --checkpoint DIR --cosyvoice DIR --target {profile} --out {artifacts}"
    return EngineMismatchError(f"{what}; build them on this machine with: {command}")
