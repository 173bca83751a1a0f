"""What a build was made from, and what it found: ``manifest.json``, written last, so that no partial build has one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import stream_omni
from stream_omni import chunk_schedule
from stream_omni.cosyvoice_checkpoint import CONFIGURATION, SPEECH_TOKENIZER, VOICES
from stream_omni.serving import limits
from stream_omni.tensor_files import read_tensor_index
from stream_omni_build import repository
from stream_omni_build.progress import Progress
from stream_omni_build.repository import PACKAGE, product_version, templates

NAME = "manifest.json"
LIBRARY = Path(stream_omni.__file__).parent
_SPEAKERS = ("build_estimate", "compile_times", "hardware_table")  # modules of this package that make nothing
_USERS = ("serving", "replay")  # folders of the library that only use graphs and assets
_PACKAGES = ("onnxruntime", "numpy", "tokenizers")
_EXPORTERS = ("torch", "onnx")

Digests = dict[str, dict[str, Any]]  # file: bytes, sha256


def graph_inputs(checkpoint: Path, cosyvoice: Path, ready: list[Path], progress: Progress) -> dict[str, Any]:
    """What graphs and assets follow from; ``ready`` are files of graphs that need not be made."""
    tensors = {stored.path for stored in read_tensor_index(checkpoint).values()}
    settings = (path for pattern in ("*.json", "*/*.json", "*.jinja") for path in checkpoint.glob(pattern))
    ours = sorted({*tensors, *settings})
    theirs = [cosyvoice / name for name in (CONFIGURATION, "flow.pt", "hift.pt", VOICES, SPEECH_TOKENIZER)]
    total = sum(path.stat().st_size for path in (*ours, *theirs))
    count = progress.counter("reading the checkpoint", total)
    return {
        "checkpoint": digest_files(ours, checkpoint, count),
        "cosyvoice": digest_files(theirs, cosyvoice, count),
        "code": _digest_code(),
        "packages": {name: version(name) for name in (_PACKAGES if ready else _EXPORTERS + _PACKAGES)},
        "ready_graphs": {path.name: digest_file(path) for path in ready},
    }


def repository_inputs(profile: Path) -> dict[str, Any]:
    """What the rendered repository follows from, beside the graphs."""
    return {"profile": digest_file(profile), **template_inputs()}


def template_inputs() -> dict[str, Any]:
    """The same, beside the profile."""
    # the modules of limits and chunks have the defaults of what a profile leaves out
    code = [Path(str(module.__file__)) for module in (limits, chunk_schedule, repository)]
    return {
        "templates": _digest_all(files_below(templates(), ".py", ".pbtxt"), templates()),
        "code": _digest_all(code, LIBRARY.parent, PACKAGE.parent),
        "version": product_version(),
    }


def built_files(out: Path) -> Digests:
    """Every file that a build wrote, except for the manifest itself."""
    return digest_files(sorted(path for path in out.rglob("*") if path.is_file() and path != out / NAME), out)


def is_whole(out: Path, files: Digests) -> bool:
    """Whether the files of a manifest are there, in their sizes."""
    return all((out / n).is_file() and (out / n).stat().st_size == f["bytes"] for n, f in files.items())


def read_manifest(out: Path) -> dict[str, Any] | None:
    path = out / NAME
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def as_stored(content: Any) -> Any:
    """As it is read back: lists for tuples."""
    return json.loads(json.dumps(content))


def write_manifest(out: Path, content: dict[str, Any]) -> None:
    (out / NAME).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def digest_files(paths: Iterable[Path], root: Path, count: Callable[[int], None] | None = None) -> Digests:
    return {
        path.relative_to(root).as_posix(): {"bytes": path.stat().st_size, "sha256": digest_file(path, count)}
        for path in paths
    }


def digest_file(path: Path, count: Callable[[int], None] | None = None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(4 << 20):
            digest.update(block)
            if count:
                count(len(block))
    return digest.hexdigest()


def _digest_code() -> str:
    """Of the library, except for what only uses graphs and assets, and of this package, except for what only speaks
    about builds."""
    files = [p for p in files_below(LIBRARY, ".py", ".json") if p.relative_to(LIBRARY).parts[0] not in _USERS]
    own = [p for p in sorted(PACKAGE.glob("*.py")) if p.stem not in _SPEAKERS]
    return _digest_all([*files, *own], LIBRARY.parent, PACKAGE.parent)


def digest_engines_code() -> str:
    """Of what makes engines of graphs, beside what :func:`graph_inputs` looks at."""
    return _digest_all(files_below(PACKAGE / "engines", ".py"), PACKAGE.parent)


def _digest_all(paths: Iterable[Path], *roots: Path) -> str:
    """Of names (below one of ``roots``) and contents."""
    digest = hashlib.sha256()
    for path in paths:
        root = next(root for root in roots if path.is_relative_to(root))
        digest.update(f"{path.relative_to(root).as_posix()} {digest_file(path)}\n".encode())
    return digest.hexdigest()


def files_below(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in suffixes)
