"""A real Prometheus, and what it answers."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_START_S = 120.0


@dataclass(frozen=True)
class Prometheus:
    url: str

    def ask(self, api: str, **parameters: str | float) -> Any:
        """``data`` of its answer."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{api}?{query}", timeout=60) as answer:
            return json.load(answer)["data"]

    def series(self, query: str, began_s: float, ended_s: float, step_s: float) -> list[dict[str, Any]]:
        """Each with ``metric`` (its labels) and ``values`` [when, number as text]."""
        found: list[dict[str, Any]] = self.ask("query_range", query=query, start=began_s, end=ended_s, step=step_s)[
            "result"
        ]
        return found


@contextmanager
def prometheus_at(address: str, programs: Path, folder: Path, configuration: Mapping[str, Any]) -> Iterator[Prometheus]:
    """``folder`` gets its configuration, data and log."""
    file, data, log = folder / "prometheus.yml", folder / "prometheus", folder / "prometheus.log"
    file.write_text(json.dumps(configuration))  # JSON is YAML
    options = [f"--config.file={file}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
    with (
        log.open("wb") as said,
        subprocess.Popen([programs / "prometheus", *options], stdout=said, stderr=said) as process,
    ):
        try:
            running = Prometheus(f"http://{address}")
            _wait(running, process, log)
            yield running
        finally:
            process.terminate()


def _wait(running: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            urllib.request.urlopen(f"{running.url}/-/ready", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None and time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.1)
