"""Cases on disk: ``cases/NAME.json`` (ids, traces, scalars), ``cases/NAME.npz`` (arrays), pictures in ``images/``."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class CaseError(ValueError):
    """A case that cannot be read; the message names the file and the mend."""


@dataclass
class Case:
    """One recorded case. ``fields`` are the json's values, ``arrays`` the npz's; both hold inputs and results."""

    name: str
    directory: Path  # the folder that holds cases/, images/ and skip_ids.npy
    fields: dict[str, Any]
    arrays: dict[str, Array] = field(default_factory=dict)

    @property
    def mode(self) -> str:
        return str(self.fields["mode"])

    def picture(self) -> Path:
        return self.directory / "images" / str(self.fields["image"])

    def sound(self) -> Path:
        return self.directory / "cases" / str(self.fields["wav"])

    def save(self) -> None:
        """Write both files; what is there under this name is replaced."""
        folder = self.directory / "cases"
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"name": self.name, **self.fields}, ensure_ascii=True)
        (folder / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
        np.savez_compressed(folder / f"{self.name}.npz", **self.arrays)


def read_cases(directory: Path) -> list[Case]:
    """All cases of a folder, by name. Raises CaseError where there are none or one is not readable."""
    paths = sorted((directory / "cases").glob("*.json"))
    if not paths:
        raise CaseError(f"no recorded cases in {directory / 'cases'}: --cases takes the folder that holds cases/*.json")
    return [_read(path, directory) for path in paths]


def _read(path: Path, directory: Path) -> Case:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return Case(str(fields.pop("name")), directory, fields, arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CaseError(f"{path}: not a readable case ({error}); record it again or remove it") from error


def speakable_of(directory: Path, size: int) -> Array:
    """bool [size]: which ids are spoken, from the folder's ``skip_ids.npy`` (for checkpoints without a tokenizer)."""
    path = directory / "skip_ids.npy"
    if not path.is_file():
        raise CaseError(
            f"the checkpoint has no tokenizer and {path} is missing: one of them must name the speakable ids"
        )
    mask = np.ones(size, bool)
    skipped = np.load(path, allow_pickle=False)
    mask[skipped[skipped < size]] = False
    return mask
