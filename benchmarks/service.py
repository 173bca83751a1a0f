"""``stream-omni serve`` as a process of its own: what an operator runs, the supervisor included."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SERVE = [sys.executable, "-c", "from stream_omni_client.command import main; raise SystemExit(main())", "serve"]
_DOOR = re.compile(r"(admin|gRPC|HTTP|metrics) +(\S+)")
_REGIONS = re.compile(r"shm-region-prefix-name=(\w+)")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (not a temporary file)
_END_S = 30.0  # longer than a drain and the end of all processes


class Service:
    """One that said that it is ready."""

    def __init__(self, process: subprocess.Popen[str], doors: dict[str, str]) -> None:
        self._process, self._doors = process, doors
        server = self.status()["server"]["process"]
        self.groups = (os.getpgid(process.pid), server)  # the supervisor's, and tritonserver's with the stages
        named = _REGIONS.search(Path(f"/proc/{server}/cmdline").read_text())
        assert named is not None
        self._regions = named[1]

    @property
    def grpc_url(self) -> str:
        return self._doors["gRPC"]

    @property
    def metrics_url(self) -> str:
        return self._doors["metrics"]

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self._doors['admin']}/status") as page:
            status: dict[str, Any] = json.load(page)
        return status

    def shared_memory(self) -> list[Path]:
        return list(_SHARED_MEMORY.glob(f"{self._regions}*"))


@contextmanager
def serve(built: Path, log: Path) -> Iterator[Service]:
    """Until the end, which is a drained one. Raises RuntimeError where it does not start."""
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(  # noqa: S603 (a fixed program)
            [*_SERVE, "--repository", str(built)],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,  # a group of its own, to be counted
        )
        try:
            yield Service(process, _doors(process, log))
        finally:
            process.terminate()
            process.wait(_END_S)


def _doors(process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    """Where it listens, when it is ready."""
    assert process.stdout is not None
    doors = {}
    while (line := process.stdout.readline().strip()) != "ready":
        if not line:
            raise RuntimeError(f"`stream-omni serve` did not start; {log} says why")
        if found := _DOOR.fullmatch(line):
            doors[found[1]] = found[2]
    return doors
