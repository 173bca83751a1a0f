"""Ends what a launcher leaves behind that was killed: a small process of its own, which outlives the launcher.

Its standard input is a pipe whose other end only the launcher has. When that closes, the server has got SIGTERM from
the kernel; what is still there after the given time is killed, processes that are stopped or hang included.
Run by its path, without any package: ``keeper.py GROUP GRACE_S REGIONS SCRATCH``.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

_LOOK_S = 0.1


def main(group: int, grace_s: float, regions: str, scratch: str) -> None:
    """``group`` is the server's process group, ``regions`` how the names of its shared memory begin."""
    sys.stdin.buffer.read()
    deadline_s = time.monotonic() + grace_s
    while time.monotonic() < deadline_s and _is_there(group):
        time.sleep(_LOOK_S)
    if _is_there(group):
        os.killpg(group, signal.SIGKILL)
    for region in Path("/dev/shm").glob(f"{regions}*"):  # noqa: S108 (not a temporary file)
        region.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4])
