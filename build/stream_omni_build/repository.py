"""Triton's view of a build: model_repository/ with its placeholders filled from the checkpoint and a profile."""

from __future__ import annotations

import dataclasses
import json
import shutil
import string
import tomllib
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo
from stream_omni.serving.limits import Limits

PACKAGE = Path(__file__).parent
CONFIG, PLAN_CONFIG = "config.pbtxt", "plan.pbtxt"  # of a model run from Python, and by Triton's own TensorRT backend
_OWN_TABLES = ("shared", "graphs", "limits", "chunks")  # of a profile; the others are named after models


class ProfileError(ValueError):
    """A deployment profile has a key that means nothing, lacks one, or gives it a value that cannot be."""


def templates() -> Path:
    """model_repository/ with its placeholders: beside this file in an installed package, at the top in a checkout."""
    packed = PACKAGE / "model_repository"
    return packed if packed.is_dir() else PACKAGE.parents[1] / "model_repository"


def find_profile(name: str) -> Path:
    """A shipped profile by its name, or a file by its path. Raises ProfileError."""
    shipped = PACKAGE / "profiles" / f"{name}.toml"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in shipped.parent.glob("*.toml")))
        raise ProfileError(f"there is no profile {name!r}: give one of {known}, or the path of a .toml file")
    return path


def render_repository(profile: Path, info: ModelInfo, voices: list[str], out: Path) -> None:
    """Write ``out``/model_repository for a CPU.

    Raises ProfileError that names all keys that are unknown, missing or unusable; then nothing is written.
    """
    tables = read_profile(profile)
    try:
        render_tables(tables, info, voices, out)
    except ProfileError as error:
        raise ProfileError(f"{profile}: {error}") from error


def render_tables(
    tables: dict[str, dict[str, Any]], info: ModelInfo, voices: list[str], out: Path, plans: Collection[str] = ()
) -> None:
    """The same from a profile's tables; models of ``plans`` are run by Triton's own TensorRT backend."""
    tables = dict(tables)
    shared = tables["shared"]
    computed = _ON_CPU | _sizes(info) | _documents(info, voices, tables)
    rendered, used_shared, faults = {}, set(), []
    for folder in _model_folders():
        own = tables.pop(folder.name, {})
        source = folder / (PLAN_CONFIG if folder.name in plans else CONFIG)
        template = string.Template(source.read_text(encoding="utf-8"))
        wanted = set(template.get_identifiers())
        values = computed | shared | own
        used_shared |= wanted & shared.keys() - own.keys()
        faults += [f"{folder.name} has no use for {key}" for key in sorted(own.keys() - wanted)]
        faults += [f"{folder.name} needs {key}" for key in sorted(wanted - values.keys())]
        rendered[folder] = template.safe_substitute({key: _literal(value) for key, value in values.items()})
    faults += [f"no model uses {key} of [shared]" for key in sorted(shared.keys() - used_shared)]
    faults += [f"there is no model [{name}]" for name in sorted(tables.keys() - set(_OWN_TABLES))]
    if faults:
        raise ProfileError("; ".join(faults))
    for folder, config in rendered.items():
        modules = [] if folder.name in plans else sorted((folder / "1").glob("*.py"))
        _write_model(modules, config, out / "model_repository" / folder.name)


def _write_model(modules: list[Path], config: str, target: Path) -> None:
    (target / "1").mkdir(parents=True)  # an ensemble's stays empty, but Triton wants it
    (target / CONFIG).write_text(config, encoding="utf-8")
    for module in modules:
        shutil.copyfile(module, target / "1" / module.name)


def _model_folders() -> list[Path]:
    return sorted(path.parent for path in templates().glob(f"*/{CONFIG}"))


def read_profile(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a profile. Raises ProfileError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{path} is no TOML: {error}") from error
    stray = [key for key, value in content.items() if not isinstance(value, dict)]
    if stray:
        raise ProfileError(f"{path}: {', '.join(stray)} must be in a table, such as [shared]")
    return {name: {} for name in _OWN_TABLES} | content


def document(value: object) -> str:
    """JSON, as a string literal of config.pbtxt."""
    return json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)


# where a stage's instance runs, and on what; a deployment on GPUs has its own
_ON_CPU = {"placement": "kind: KIND_CPU count: 1", "runtime": document({"engine": "onnxruntime"})}


def _sizes(info: ModelInfo) -> dict[str, int]:
    assert info.flow is not None
    assert info.vocoder is not None
    return {
        "hidden": info.llama.hidden,
        "kv_heads": info.llama.kv_heads,
        "head_size": info.llama.head_size,
        "bottom_caches": 2 * info.llama.bottom_layers,
        "image_size_px": info.vision.image_size_px,
        "image_patches": info.vision.patches,
        "vision_width": info.vision.width,
        "speaker_size": info.flow.speaker_size,
        "mel_channels": info.flow.mel_channels,
        "harmonics": info.vocoder.harmonics,
    }


def _documents(info: ModelInfo, voices: list[str], tables: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Values that are JSON, as string literals of config.pbtxt."""
    assert info.flow is not None
    assert info.vocoder is not None
    try:
        limits, schedule = Limits.from_mapping(tables["limits"]), ChunkSchedule(**tables["chunks"])
        schedule.check(MelClock.of(info.flow, info.vocoder), info.vocoder)
    except (TypeError, ValueError) as error:
        raise ProfileError(f"[limits] or [chunks]: {error}") from error
    about = {
        "checkpoint": info.name,
        "version": product_version(),
        "voices": ["default", *voices],
        "limits": dataclasses.asdict(limits),
        "sample_rate": info.vocoder.sample_rate_hz,
    }
    documents = {"info": about, "limits": about["limits"], "chunks": dataclasses.asdict(schedule)}
    return {name: document(value) for name, value in documents.items()}


def _literal(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def product_version() -> str:
    try:
        return version("stream-omni")
    except PackageNotFoundError:
        return "source"  # run from a source tree
