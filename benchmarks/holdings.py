"""What a server holds while it works: memory, open files, shared memory, places; and whether that stays level."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.memory import resident_mb
from benchmarks.places import look
from benchmarks.service import Service

KINDS = ("resident_mb", "open_handles", "shared_mb", "places_taken")
# What a line through the judged samples may rise, as a share of their mean. Memory breathes with what is asked, places
# with who asks; those that are lost show after the end.
TOLERANCES = {"resident_mb": 0.03, "open_handles": 0.03, "shared_mb": 0.03, "places_taken": 0.5}
WARM_UP_SHARE = 0.25  # of the samples, which are not judged: allocators and caches fill


@dataclass(frozen=True)
class Holdings:
    """Of the supervisor, the server and its stages together."""

    resident_mb: float
    handles: Counter[str]  # by what they are
    shared_mb: float
    places_taken: int  # turns and slots

    @classmethod
    def of(cls, service: Service) -> Holdings:
        shared_bytes = 0
        for region in service.shared_memory():
            with suppress(FileNotFoundError):
                shared_bytes += 512 * region.stat().st_blocks
        handles = sum(map(_open_handles, service.groups), Counter[str]())
        resident = sum(map(resident_mb, service.groups))
        return cls(resident, handles, shared_bytes / 1e6, look(service.metrics_url).taken)

    @property
    def open_handles(self) -> int:
        return self.handles.total()


def columns(samples: Sequence[tuple[float, Holdings]]) -> dict[str, list[float]]:
    """Seconds, and each kind."""
    held = {kind: [getattr(holdings, kind) for _, holdings in samples] for kind in KINDS}
    return {"seconds": [at_s for at_s, _ in samples], **held}


def handle_columns(samples: Sequence[tuple[float, Holdings]]) -> dict[str, list[int]]:
    """Of the same samples the open handles, by what they are: which of them rises, where all together do."""
    kinds = sorted({kind for _, holdings in samples for kind in holdings.handles})
    return {kind: [holdings.handles[kind] for _, holdings in samples] for kind in kinds}


def growth(seconds: Sequence[float], values: Sequence[float]) -> float:
    """How far the line of least squares through what follows the warm-up rises, as a share of its mean; one thing
    that is held where there was none counts whole."""
    begin = int(len(values) * WARM_UP_SHARE)
    at_s, held = np.array(seconds[begin:]), np.array(values[begin:], np.float64)
    if len(held) < 2:
        return 0.0
    slope = np.polyfit(at_s - at_s[0], held, 1)[0]
    return float(slope * (at_s[-1] - at_s[0]) / max(held.mean(), 1.0))


def _open_handles(group: int) -> Counter[str]:
    return Counter(kind for process in processes(group) for kind in _handles(process / "fd"))


def processes(group: int) -> Iterator[Path]:
    """Of a server, by the number of its first one: their folders in /proc. Without zombies, which hold nothing and wait
    for their parent."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError, FileNotFoundError):
            if os.getpgid(int(process.name)) == group and _state(process) != "Z":
                yield process


def _state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(")")[2].split()[0]


def _handles(folder: Path) -> Iterator[str]:
    """ "socket", "pipe", "eventpoll" and so on; "file" for what has a path."""
    with suppress(OSError):
        for handle in os.listdir(folder):  # noqa: PTH208 (a list, at once: the process works on)
            with suppress(FileNotFoundError):
                target = (folder / handle).readlink().as_posix()
                yield "file" if target.startswith("/") else target.removeprefix("anon_inode:").split(":")[0].strip("[]")
