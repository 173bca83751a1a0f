"""A real Prometheus that scrapes real programs, labelled as the chart's PodMonitors label them, under the
shipped rules."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.monitoring.conftest import RULES

SCRAPE_S = 2
_START_S = 120.0


@dataclass(frozen=True)
class Target:
    component: str
    pod: str
    address: str
    path: str = "/metrics"


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
def prometheus(programs: Path, folder: Path, targets: Sequence[Target]) -> Iterator[Prometheus]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with prometheus_at(address, programs, folder, _configuration(targets)) as running:
        yield running


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


def _configuration(targets: Sequence[Target]) -> dict[str, Any]:
    jobs = [
        {
            "job_name": f"{target.component}-{target.pod}",
            "metrics_path": target.path,
            "static_configs": [{"targets": [target.address], "labels": _labels(target)}],
        }
        for target in targets
    ]
    timing = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
    return {"global": timing, "rule_files": [str(path) for path in RULES], "scrape_configs": jobs}


def _labels(target: Target) -> dict[str, str]:
    own = {"component": target.component, "pod": target.pod}
    return {"app": "stream-omni", "namespace": "stand", "release": "omni", **own}
