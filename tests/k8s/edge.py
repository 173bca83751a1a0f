"""A real Envoy with the configuration and the arguments that the chart gives it; only addresses differ."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from tests.helm.chart import Manifest, Rendered
from tests.k8s import addresses

_START_S = 60.0
_MERGED_S = (
    1.2  # Envoy tells its workers of changes in health within a second of each other at once (update_merge_window)
)


@dataclass(frozen=True)
class Host:
    """A server as Envoy sees it."""

    active: int  # turns that run through this Envoy
    total: int
    is_healthy: bool


@dataclass(frozen=True)
class Edge:
    url: str
    address: str
    _admin: str

    def hosts(self) -> dict[str, Host]:
        """By address."""
        statuses = self._ask("/clusters?format=json")["cluster_statuses"]
        (servers,) = [status for status in statuses if status["name"] == "servers"]
        return {each["address"]["socket_address"]["address"]: _host(each) for each in servers.get("host_statuses", [])}

    def stat(self, name: str) -> int:
        (found,) = self._ask(f"/stats?format=json&filter=^{name}$")["stats"]
        return int(found["value"])

    def wait_for_healthy(self, count: int, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while sum(host.is_healthy for host in self.hosts().values()) != count:
            assert time.monotonic() < deadline_s, self.hosts()
            time.sleep(0.1)
        time.sleep(_MERGED_S)

    def _ask(self, path: str) -> Any:
        with urlopen(f"http://{self._admin}{path}", timeout=10) as answer:
            return json.load(answer)


def _host(status: dict[str, Any]) -> Host:
    numbers = {each["name"]: int(each.get("value", 0)) for each in status["stats"]}
    health = status["health_status"]
    failed = any(health.get(f"failed_{check}") for check in ("active_health_check", "outlier_check"))
    return Host(numbers["rq_active"], numbers["rq_total"], not failed)


@contextmanager
def edge(rendered: Rendered, folder: Path, servers: Sequence[str], number: int = 0) -> Iterator[Edge]:
    """``servers`` are addresses."""
    own = addresses.of_edge(number)
    (container,) = rendered.pod("envoy")["spec"]["containers"]
    file = folder / f"envoy-{number}.json"
    file.write_text(json.dumps(configuration(rendered, own, servers)))  # JSON is YAML
    arguments = list(container["args"])
    arguments[arguments.index("--config-path") + 1] = str(file)
    command = [Path(sys.executable).with_name("envoy"), *arguments]
    with (
        (folder / f"envoy-{number}.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            running = Edge(f"{own}:{ports['grpc']}", own, f"{own}:{_admin_port(rendered)}")
            _wait(process, f"http://{own}:{ports['stats']}/ready", folder / f"envoy-{number}.log")
            yield running
        finally:
            process.kill()


def configuration(rendered: Rendered, own: str, servers: Sequence[str]) -> dict[str, Any]:
    """The chart's, with ``own`` instead of loopback and all addresses, and ``servers`` instead of their DNS name."""
    found = _parsed(rendered)
    for place in _socket_addresses(found):
        if place["address"] in (addresses.ANYWHERE, addresses.LOOPBACK):
            place["address"] = own
    (cluster,) = [each for each in found["static_resources"]["clusters"] if each["name"] == "servers"]
    (locality,) = cluster["load_assignment"]["endpoints"]
    (named,) = locality["lb_endpoints"]
    locality["lb_endpoints"] = [_at(named, server) for server in servers]
    return found


def _at(endpoint: Manifest, address: str) -> Manifest:
    moved = deepcopy(endpoint)
    moved["endpoint"]["address"]["socket_address"]["address"] = address
    return moved


def _socket_addresses(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "socket_address" in part:
            yield part["socket_address"]
        for value in part.values():
            yield from _socket_addresses(value)
    elif isinstance(part, list):
        for value in part:
            yield from _socket_addresses(value)


def _parsed(rendered: Rendered) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(rendered.one("ConfigMap", "envoy")["data"]["envoy.yaml"])
    return parsed


def _admin_port(rendered: Rendered) -> int:
    return int(_parsed(rendered)["admin"]["address"]["socket_address"]["port_value"])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            urlopen(url, timeout=5).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
