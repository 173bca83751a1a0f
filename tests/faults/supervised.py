"""``stream-omni serve`` as a process of its own, with what it says about itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_omni.serving.stage_watch import SERVER
from tests.serving.test_launcher import group

_SERVE = [sys.executable, "-c", "from stream_omni_client.command import main; raise SystemExit(main())", "serve"]
_PATIENCE_S = 600.0  # of the tests, for a machine that does other things


class Supervised:
    """Used with ``with``; whatever is left at the end is killed. ``within``: a command that runs it, with the same
    process number; ``environment``: variables more."""

    def __init__(
        self,
        built: Path,
        log: Path,
        within: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        **options: float | str,
    ) -> None:
        command = self.command(built, within, **options)
        self._log = log.open("w")
        variables = os.environ | (environment or {})
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True, env=variables)
        self._doors: dict[str, str] = {}
        self._groups: set[int] = set()

    @staticmethod
    def command(built: Path, within: Sequence[str] = (), **options: float | str) -> list[str]:
        flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        return [*within, *_SERVE, "--repository", str(built), "--ready-timeout-s", str(_PATIENCE_S), *flags]

    def __enter__(self) -> Supervised:
        assert self.process.stdout is not None
        while (line := self.process.stdout.readline().strip()) != "ready":
            assert line, "it ended before it was ready"
            door = re.fullmatch(r"(admin|gRPC|HTTP|metrics) +(\S+)", line)
            assert door is not None, line
            self._doors[door[1]] = door[2]
        self.status()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for number in self._groups:
            try:
                os.killpg(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._log.close()

    @property
    def grpc_url(self) -> str:
        return self._doors["gRPC"]

    @property
    def metrics_url(self) -> str:
        return self._doors["metrics"]

    @property
    def admin_url(self) -> str:
        return self._doors["admin"]

    def door(self, name: str) -> str:
        """HOST:PORT of admin, gRPC, HTTP or metrics."""
        return self._doors[name]

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self._doors['admin']}/status", timeout=_PATIENCE_S) as page:
            status: dict[str, Any] = json.load(page)
        if (server := status["server"]["process"]) is not None:
            self._groups.add(server)
        return status

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._doors['admin']}/ready", timeout=_PATIENCE_S) as page:
                return bool(json.load(page)["ready"])
        except urllib.error.HTTPError as error:
            assert error.code == 503
            return False

    def order_drain(self) -> None:
        request = urllib.request.Request(f"http://{self._doors['admin']}/drain", method="POST")
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as page:
            assert page.status == 202

    def processes(self) -> dict[str, int]:
        """By stage; SERVER is the server itself."""
        status = self.status()
        return {name: known["process"] for name, known in status["stages"].items()} | {
            SERVER: status["server"]["process"]
        }

    def recoveries(self) -> list[dict[str, Any]]:
        """The last hundred; a comparison of lists sees every new one, that of their lengths does not."""
        recoveries: list[dict[str, Any]] = self.status()["recoveries"]
        return recoveries

    def wait_for_recovery(self, before: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
        """Until there are recoveries that are not among those ``before`` and everything is ready; the new ones."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            status = self.status()
            new = [recovery for recovery in status["recoveries"] if recovery not in before]
            if new and status["ready"]:
                return new
            assert self.process.poll() is None and time.monotonic() < deadline_s, status
            time.sleep(0.05)

    def orphans(self) -> list[int]:
        """Processes of servers that are no more."""
        now = self.status()["server"]["process"] if self.process.poll() is None else None
        return [number for server in self._groups - {now} for number in group(server)]

    def wait_until_nothing_is_left(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while left := [number for server in self._groups for number in group(server)]:
            assert time.monotonic() < deadline_s, left
            time.sleep(0.1)
