"""A pod of the server's Deployment as processes of this machine: started with the container's arguments, and ended as a
kubelet ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.supervised import Supervised
from tests.helm.chart import Manifest
from tests.k8s import addresses

_COMMAND = [sys.executable, "-c", "from stream_omni_client.command import main; raise SystemExit(main())"]


@dataclass(frozen=True)
class Ending:
    """Exit codes of the preStop hook and of the server, and how long both took; ``allowed_s``: the grace period."""

    hook: int
    server: int
    seconds: float
    allowed_s: float

    @property
    def is_clean(self) -> bool:
        return self.hook == 0 and self.server == 0 and self.seconds < self.allowed_s


class Replica:
    """``pod``: the Deployment's template. It starts at once, and is ready when :attr:`is_ready` says so."""

    def __init__(self, pod: Manifest, built: Path, folder: Path, number: int) -> None:
        self.name, self.address = f"omni-server-{number}", addresses.of_server(number)
        self.is_ready = self.is_ending = False
        self._pod, (self._container,) = pod, pod["spec"]["containers"]
        arguments = dict(each.removeprefix("--").split("=", 1) for each in self._container["args"])
        del arguments["repository"]
        for host in ("host", "admin-host"):
            assert arguments[host] == addresses.ANYWHERE
            arguments[host] = self.address
        self._began_s = time.monotonic()
        self.started_in_s: float | None = None
        self.supervised = Supervised(built, folder / f"{self.name}.log", **arguments)
        self._starting = threading.Thread(target=self._wait_until_ready, daemon=True)
        self._starting.start()

    def _wait_until_ready(self) -> None:
        self.supervised.__enter__()
        self.started_in_s = time.monotonic() - self._began_s
        self.is_ready = True

    def wait_until_ready(self) -> None:
        self._starting.join()
        assert self.is_ready, f"{self.name} did not start"

    def port(self, name: str) -> int:
        (found,) = [port["containerPort"] for port in self._container["ports"] if port["name"] == name]
        return int(found)

    def end(self) -> Ending:
        """preStop, then SIGTERM, and SIGKILL when the grace period is over."""
        began_s, allowed_s = time.monotonic(), float(self._pod["spec"]["terminationGracePeriodSeconds"])
        self.is_ending = True
        program, *arguments = self._container["lifecycle"]["preStop"]["exec"]["command"]
        assert program == "stream-omni"
        here = [argument.replace(addresses.LOOPBACK, self.address) for argument in arguments]
        assert here != arguments
        hook = subprocess.run([*_COMMAND, *here], timeout=allowed_s, check=False).returncode
        self.is_ready = False
        self.supervised.process.terminate()
        left_s = allowed_s - (time.monotonic() - began_s)
        try:
            server = self.supervised.process.wait(max(0.0, left_s))
        except subprocess.TimeoutExpired:
            self.kill()
            server = -signal.SIGKILL
        self.close()
        return Ending(hook, server, time.monotonic() - began_s, allowed_s)

    def kill(self) -> None:
        """All its processes at once, as when its node is lost or its memory is used up."""
        self.is_ready = False
        for number in _family(self.supervised.process.pid):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.supervised.process.wait()

    def close(self) -> None:
        self.supervised.__exit__()


def _family(first: int) -> list[int]:
    """A process and all that descend from it."""
    listed = subprocess.run(["ps", "-o", "pid=,ppid=", "-e"], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found = [first]
    for number in found:
        found += [child for child, parent in parents.items() if parent == number]
    return found
