"""Resident memory of a process group."""

from __future__ import annotations

import os
from pathlib import Path

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
