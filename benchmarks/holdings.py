"""What a server holds while it works: memory, open files, shared memory, places; and whether that stays level."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from benchmarks.memory import resident_mb
from benchmarks.places import look
from stream_omni.serving.launcher import TritonServer

KINDS = ("resident_mb", "open_handles", "shared_mb", "places_taken")
# What a line through the judged samples may rise, as a share of their mean. Memory breathes with what is asked, places
# with who asks; those that are lost show after the end.
TOLERANCES = {"resident_mb": 0.03, "open_handles": 0.03, "shared_mb": 0.03, "places_taken": 0.5}
WARM_UP_SHARE = 0.25  # of the samples, which are not judged: allocators and caches fill


@dataclass(frozen=True)
class Holdings:
    resident_mb: float
    open_handles: int
    shared_mb: float
    places_taken: int  # turns and slots

    @classmethod
    def of(cls, server: TritonServer) -> Holdings:
        assert server.process is not None
        shared_bytes = 0
        for region in server.shared_memory():
            with suppress(FileNotFoundError):
                shared_bytes += 512 * region.stat().st_blocks
        group = server.process.pid
        return cls(resident_mb(group), _open_handles(group), shared_bytes / 1e6, look(server.metrics_url).taken)


def columns(samples: Sequence[tuple[float, Holdings]]) -> dict[str, list[float]]:
    """Seconds, and each kind."""
    rows = [(at_s, *astuple(held)) for at_s, held in samples]
    return dict(zip(("seconds", *KINDS), map(list, zip(*rows, strict=True)), strict=True))


def growth(seconds: Sequence[float], values: Sequence[float]) -> float:
    """How far the line of least squares through what follows the warm-up rises, as a share of its mean; one thing
    that is held where there was none counts whole."""
    begin = int(len(values) * WARM_UP_SHARE)
    at_s, held = np.array(seconds[begin:]), np.array(values[begin:], np.float64)
    if len(held) < 2:
        return 0.0
    slope = np.polyfit(at_s - at_s[0], held, 1)[0]
    return float(slope * (at_s[-1] - at_s[0]) / max(held.mean(), 1.0))


def _open_handles(group: int) -> int:
    return sum(_entries(process / "fd") for process in processes(group))


def processes(group: int) -> Iterator[Path]:
    """Of a server, by the number of its first one: their folders in /proc. Without zombies, which hold nothing and wait
    for their parent."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError, FileNotFoundError):
            if os.getpgid(int(process.name)) == group and _state(process) != "Z":
                yield process


def _state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(")")[2].split()[0]


def _entries(folder: Path) -> int:
    try:
        return len(os.listdir(folder))  # noqa: PTH208 (a list, at once: the process works on)
    except OSError:
        return 0
