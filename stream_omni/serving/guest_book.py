"""How many turns a door of the server has taken in and not answered yet, where its launcher still reads it when the
door's process is dead.

Triton answers nothing for calls that a dead process had taken in: somebody must know whether there were any.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

_VARIABLE = "STREAM_OMNI_GUEST_BOOKS"  # the launcher's own directory, in the environment of the server's processes
_BYTES = 8


class GuestBook:
    """Of the door ``name``, in ``folder``; None: nobody reads it. Opening it counts anew. From any thread."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._count, self._lock = 0, threading.Lock()
        self._file = None if folder is None else _path(folder, name).open("wb", buffering=0)
        self._write()

    @classmethod
    def of_environment(cls, name: str) -> GuestBook:
        """In the server that this process belongs to."""
        folder = os.environ.get(_VARIABLE)
        return cls(Path(folder) if folder else None, name)

    def enter(self) -> None:
        """Somebody came, and is owed an answer."""
        self._change(1)

    def leave(self) -> None:
        """His answer was sent."""
        self._change(-1)

    def _change(self, by: int) -> None:
        with self._lock:
            self._count += by
            self._write()

    def _write(self) -> None:
        """Over the same few bytes: it takes no room, and what was written outlives the process."""
        if self._file is not None:
            os.pwrite(self._file.fileno(), self._count.to_bytes(_BYTES, "little"), 0)


def environment(folder: Path) -> dict[str, str]:
    """What a server must find in its environment."""
    return {_VARIABLE: str(folder)}


def guests_of(folder: Path, name: str) -> int:
    """0 of a door that keeps no book."""
    try:
        return int.from_bytes(_path(folder, name).read_bytes(), "little")
    except FileNotFoundError:
        return 0


def _path(folder: Path, name: str) -> Path:
    return folder / f"guests-of-{name}"
