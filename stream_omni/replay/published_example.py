"""The reference's own published example: a spoken question about a picture, with the answer that its README prints.

It is the one result of the real weights that everybody can look up; the picture and the recording are the reference
repository's, and are not shipped here. A whole turn is run, from files to speech units.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from stream_omni.answer import Event
from stream_omni.replay.compare import CaseResult, Difference
from stream_omni.runtime.session import Array
from stream_omni.turn import InProcess

NAME = "published-example"
PICTURE, SOUND = "cat.jpg", "cat_color.wav"
TRANSCRIPT = "What is the color of the cat"
ANSWER = "The cat is gray and black."
UNITS = (
    *(2164, 2247, 671, 246, 2172, 1406, 119, 203, 2858, 2099, 1716, 22, 1736, 1038, 4082, 1655, 2409, 2104, 571),
    *(2255, 73, 760, 822, 701, 2583, 1038, 2203, 1185, 2103, 1718, 2610, 1883, 16, 792, 8, 8, 535, 67),
)


@dataclass(frozen=True)
class Said:
    transcript: str
    text: str
    units: tuple[int, ...]


def require_files(folder: Path) -> None:
    """Raises FileNotFoundError where it does not hold :data:`PICTURE` and :data:`SOUND`."""
    if missing := [name for name in (PICTURE, SOUND) if not (folder / name).is_file()]:
        raise FileNotFoundError(f"{folder} lacks {' and '.join(missing)}, which the reference's repository has")


def ask(turns: InProcess, folder: Path) -> Said:
    """The example's question, asked as a client would, from the files in ``folder``. Raises FileNotFoundError, and
    TurnError."""
    require_files(folder)
    samples, sample_rate_hz = soundfile.read(folder / SOUND, dtype="float32")
    inputs: dict[str, Array] = {
        "audio": samples,
        "sample_rate": np.array([sample_rate_hz], np.int32),
        "image": np.array([(folder / PICTURE).read_bytes()], object),
        "output": np.array([b"speech"], object),
    }
    return _said(turns.answer(inputs))


def _said(events: Iterable[Event]) -> Said:
    parts: dict[str, str] = {"transcript": "", "text": ""}
    units: list[int] = []
    for event in events:
        if event.kind in parts:
            parts[event.kind] += event.delta
        units += event.units.tolist()
    return Said(parts["transcript"], parts["text"], tuple(units))


def compare_published(said: Said, precision: str = "fp32") -> CaseResult:
    """Letters of the transcript and the answer, and every unit. Nobody leads the example through its steps, so below
    fp32 a close call may flip, and all that follows it: a difference is told there, and refuses nothing."""
    found = (_words("transcript", TRANSCRIPT, said.transcript), _words("answer", ANSWER, said.text), _units(said.units))
    if precision == "fp32":
        return CaseResult(NAME, found)
    told = f"; told, not refused, since a close call may flip in {precision}"
    return CaseResult(NAME, tuple(d if d.ok else replace(d, ok=True, note=d.note + told) for d in found))


def _words(name: str, published: str, here: str) -> Difference:
    ok = published.strip() == here.strip()
    return Difference(name, ok, note="" if ok else f"published {published!r}, here {here!r}")


def _units(here: tuple[int, ...]) -> Difference:
    if here == UNITS:
        return Difference("units", True)
    same = next((i for i, (a, b) in enumerate(zip(UNITS, here, strict=False)) if a != b), min(len(UNITS), len(here)))
    note = f"the first {same} of {len(UNITS)} as published, then {UNITS[same : same + 3]}, here {here[same : same + 3]}"
    return Difference("units", False, note=f"{note} ({len(here)} in all)")
