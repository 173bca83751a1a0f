"""``fetched.json``: what was downloaded, from where, with the digest of every file; a later run verifies by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NAME = "fetched.json"
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Fetched:
    """One checkpoint. ``revision`` is the commit, where the hub told one; ``files``: path -> bytes, sha256."""

    source: str
    revision: str
    files: dict[str, dict[str, Any]]

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.files.values())


def read_record(out: Path) -> dict[str, Fetched]:
    """By folder. Without what cannot be read: that is downloaded or verified anew."""
    try:
        content = json.loads((out / NAME).read_text(encoding="utf-8"))
        return {folder: Fetched(**values) for folder, values in content.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def write_record(out: Path, fetched: Mapping[str, Fetched]) -> None:
    text = json.dumps({folder: asdict(values) for folder, values in sorted(fetched.items())}, indent=1)
    partial = out / f"{NAME}.partial"
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(out / NAME)


def wrong_files(folder: Path, fetched: Fetched, count: Callable[[int], None]) -> dict[str, str]:
    """Those that are not as recorded, and what is wrong with each. ``count`` hears of bytes read."""
    found = {}
    for path, wanted in fetched.files.items():
        file = folder / path
        if not file.is_file():
            found[path] = "missing"
        elif file.stat().st_size != wanted["bytes"]:
            found[path] = f"{file.stat().st_size} bytes, not {wanted['bytes']}"
        elif digest(file, count) != wanted["sha256"]:
            found[path] = "other content (its SHA-256 differs)"
    return found


def digest(path: Path, count: Callable[[int], None]) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            sha256.update(block)
            count(len(block))
    return sha256.hexdigest()
