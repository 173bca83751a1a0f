"""Resident memory of a process group over time."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_mb(group: int) -> float:
    """Of all processes of the group together; a page that two of them share counts twice."""
    total = 0
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                if os.getpgid(int(process.name)) == group:
                    total += int((process / "statm").read_text().split()[1])
            except (ProcessLookupError, FileNotFoundError):
                continue  # it has ended
    return total * _PAGE_BYTES / 1e6


class MemoryWatch:
    """Samples a group while used with ``with``: ``samples`` are (seconds since the start, MB)."""

    def __init__(self, group: int, period_s: float = 1.0) -> None:
        self.samples: list[tuple[float, float]] = []
        self._group, self._period_s = group, period_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        began_s = time.monotonic()
        while not self._over.is_set():
            self.samples.append((time.monotonic() - began_s, resident_mb(self._group)))
            self._over.wait(self._period_s)
