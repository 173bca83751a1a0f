"""A real Envoy in front of real servers, as a cluster's edge has one: HTTP/2 on both sides, the servers in turn, and
another one where one cannot be reached."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

_HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_UPSTREAM = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PREVIOUS = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
_ANY_PORT = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


@dataclass
class Envoy:
    process: subprocess.Popen[bytes]
    admin: str
    url: str = ""

    def gauge(self, name: str) -> int:
        with urlopen(f"http://{self.admin}/stats?format=json&filter=^{name}$", timeout=5) as answer:
            return int(json.load(answer)["stats"][0]["value"])


@contextmanager
def envoy(folder: Path, *backends: str) -> Iterator[Envoy]:
    """``backends`` are HOST:PORT."""
    configuration, admin = folder / "envoy.json", folder / "admin"
    configuration.write_text(json.dumps(_configuration(backends)))
    binary = Path(sys.executable).with_name("envoy")
    alone = ["--use-dynamic-base-id", "--concurrency", "1"]
    command = [binary, "-c", configuration, "--admin-address-path", admin, *alone]
    with (folder / "envoy.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            proxy = Envoy(process, _until(lambda: admin.is_file() and admin.read_text()))
            proxy.url = _until(lambda: _listener(proxy.admin))
            yield proxy
        finally:
            process.kill()


def _until(found: Any) -> str:
    deadline = time.monotonic() + 20
    while not (value := found()):
        assert time.monotonic() < deadline, "Envoy did not start"
        time.sleep(0.02)
    return str(value)


def _listener(admin: str) -> str:
    with urlopen(f"http://{admin}/listeners?format=json", timeout=5) as answer:
        statuses = json.load(answer).get("listener_statuses", [])
    places = [status["local_address"]["socket_address"] for status in statuses]
    return f"{places[0]['address']}:{places[0]['port_value']}" if places and places[0]["port_value"] else ""


def _configuration(backends: tuple[str, ...]) -> dict[str, Any]:
    another = {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": _PREVIOUS}}
    retrying = {
        "retry_on": "connect-failure,refused-stream",
        "num_retries": 2,
        "retry_host_predicate": [another],
        "host_selection_retry_max_attempts": 3,
    }
    to_servers = {"cluster": "servers", "timeout": "0s", "retry_policy": retrying}
    route = {"match": {"prefix": "/"}, "route": to_servers}
    manager = {
        "@type": _HTTP,
        "stat_prefix": "edge",
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    places = [backend.rsplit(":", 1) for backend in backends]
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}
        for host, port in places
    ]
    cluster = {
        "name": "servers",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "servers", "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _UPSTREAM,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    listener = {"name": "edge", "address": _ANY_PORT, "filter_chains": [chain]}
    return {"admin": {"address": _ANY_PORT}, "static_resources": {"listeners": [listener], "clusters": [cluster]}}
