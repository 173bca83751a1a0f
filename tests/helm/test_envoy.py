"""Envoy itself takes the rendered configuration, and its pods end without cutting a turn."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
import trustme
import yaml

from tests.helm.cases import CASES, CPU, GPU
from tests.helm.chart import Manifest, Values, merged, render

ENVOY = Path(sys.executable).with_name("envoy")
METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"


def configuration(values: Values) -> Manifest:
    (found,) = [each for each in render(values).of("ConfigMap", "envoy") if "envoy.yaml" in each["data"]]
    return found["data"]


def cluster(values: Values) -> Manifest:
    clusters = yaml.safe_load(configuration(values)["envoy.yaml"])["static_resources"]["clusters"]
    (servers,) = [each for each in clusters if each["name"] == "servers"]
    return servers


def place(values: Values, folder: Path, authority: trustme.CA | None = None) -> Path:
    """The ConfigMap's files and the Secrets' in ``folder``, which stands for /etc; these signed by ``authority``."""
    signer = authority or trustme.CA()
    for name in ("edge", "client", "server-ca", "edge-client-ca"):
        mount(folder / "stream-omni" / name, issued(signer, "localhost"))
    (folder / "envoy").mkdir()
    for name, text in configuration(values).items():
        moved = text.replace("/etc/stream-omni/", f"{folder}/stream-omni/").replace("/etc/envoy/", f"{folder}/envoy/")
        (folder / "envoy" / name).write_text(moved)
    return folder / "envoy" / "envoy.yaml"


def issued(authority: trustme.CA, name: str) -> dict[str, bytes]:
    """The content of a Secret of TLS."""
    made = authority.issue_cert(name)
    return {
        "tls.crt": made.cert_chain_pems[0].bytes(),
        "tls.key": made.private_key_pem.bytes(),
        "ca.crt": authority.cert_pem.bytes(),
    }


def mount(place: Path, secret: dict[str, bytes]) -> None:
    """As a kubelet mounts and renews one: the names lead through a link, which is moved to the new content at once."""
    place.mkdir(parents=True, exist_ok=True)
    version = Path(tempfile.mkdtemp(prefix="..", dir=place))
    for name, content in secret.items():
        (version / name).write_bytes(content)
        if not (place / name).is_symlink():
            (place / name).symlink_to(f"..data/{name}")
    (place / "..data_tmp").symlink_to(version.name)
    (place / "..data_tmp").rename(place / "..data")


def arguments(values: Values, file: Path) -> list[str]:
    """Those of the pod, with the configuration in another place."""
    args = list(render(values).pod("envoy")["spec"]["containers"][0]["args"])
    args[args.index("--config-path") + 1] = str(file)
    return args


@pytest.mark.parametrize("name", ["cpu", "tls", "mutual"])
def test_envoy_takes_its_arguments_and_the_configuration(name: str, tmp_path: Path) -> None:
    command = [ENVOY, *arguments(CASES[name], place(CASES[name], tmp_path)), "--mode", "validate"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_circuit_breaker_lets_through_what_all_replicas_can_take() -> None:
    def most(values: Values) -> int:
        (threshold,) = cluster(values)["circuit_breakers"]["thresholds"]
        return int(threshold["max_requests"])

    assert most(CPU) == 8 + 4
    assert most(merged(CPU, {"server": {"replicas": 5}})) == 5 * 12
    assert most(CASES["hpa"]) == 6 * 12
    assert most(merged(CPU, {"envoy": {"maxTurns": 7}})) == 7
    assert most(merged(GPU, {"server": {"replicas": 3}})) == 3 * (16 + 8)


def test_turns_are_balanced_by_their_number_over_servers_that_are_ready() -> None:
    servers = cluster(CPU)
    assert servers["lb_policy"] == "LEAST_REQUEST" and servers["type"] == "STRICT_DNS"
    assert servers["common_lb_config"]["healthy_panic_threshold"]["value"] == 0
    (endpoint,) = [each["endpoint"] for each in servers["load_assignment"]["endpoints"][0]["lb_endpoints"]]
    place = endpoint["address"]["socket_address"]
    found = render(CPU)
    (service,) = [each for each in found.of("Service") if each["spec"].get("clusterIP") == "None"]
    assert place["address"] == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    ports = {each["name"]: each["containerPort"] for each in found.pod("server")["spec"]["containers"][0]["ports"]}
    assert place["port_value"] == ports["grpc"] and endpoint["health_check_config"]["port_value"] == ports["admin"]
    (check,) = servers["health_checks"]
    assert check["http_health_check"]["path"] == "/ready"
    settle = found.pod("server")["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    noticed = float(check["interval"][:-1]) * check["unhealthy_threshold"] + float(check["timeout"][:-1])
    assert float(settle[3].partition("=")[2]) >= noticed


def _edge(values: Values) -> Manifest:
    (edge,) = [
        each["filter_chains"][0]["filters"][0]["typed_config"]
        for each in yaml.safe_load(configuration(values)["envoy.yaml"])["static_resources"]["listeners"]
        if each["name"] == "edge"
    ]
    return edge


def test_no_turn_is_too_long_and_none_that_was_begun_is_asked_again() -> None:
    edge = _edge(CPU)
    assert edge["stream_idle_timeout"] == edge["request_timeout"] == "0s"
    (host,) = edge["route_config"]["virtual_hosts"]
    assert len(host["routes"]) == 8
    for route in host["routes"]:
        assert route["route"]["timeout"] == route["route"]["idle_timeout"] == "0s"
        assert route["route"]["retry_policy"]["retry_on"] == "connect-failure,refused-stream"


def test_only_what_clients_need_passes() -> None:
    (host,) = _edge(CPU)["route_config"]["virtual_hosts"]
    paths = {route["match"]["path"].rpartition("/")[2] for route in host["routes"]}
    assert "ModelStreamInfer" in paths and not [
        path for path in paths if path.startswith(("Repository", "Trace", "Log", "System"))
    ]


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


class Turns(grpc.GenericRpcHandler):
    """A turn answers once, and goes on until it is told to end. ``metadata``: of the last one."""

    def __init__(self) -> None:
        self.begun = 0
        self.metadata: dict[str, str | bytes] = {}
        self.end = threading.Event()

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.stream_stream_rpc_method_handler(self._turn) if call.method == METHOD else None

    def _turn(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        asked = next(requests)
        self.begun += 1
        self.metadata = dict(context.invocation_metadata())
        yield asked
        self.end.wait(60)


def servers_of(bootstrap: Manifest) -> tuple[Manifest, Manifest]:
    """Their cluster, and its one endpoint."""
    (cluster,) = [each for each in bootstrap["static_resources"]["clusters"] if each["name"] == "servers"]
    endpoint: Manifest = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    return cluster, endpoint


@contextmanager
def run_envoy(
    folder: Path, values: Values, move: Callable[[Manifest], None], authority: trustme.CA | None = None
) -> Iterator[tuple[str, str, Path]]:
    """A real Envoy of the rendered ConfigMap, in which ``move`` changes where servers are: its door, its
    administration, drain.sh."""
    file = place(values, folder, authority)
    bootstrap = yaml.safe_load(file.read_text())
    bootstrap["admin"]["address"]["socket_address"]["port_value"] = 0
    for listener in bootstrap["static_resources"]["listeners"]:
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    move(bootstrap)
    file.write_text(yaml.safe_dump(bootstrap))
    admin_file = folder / "admin"
    command = [ENVOY, *arguments(values, file), "--admin-address-path", admin_file]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            admin = until(lambda: admin_file.is_file() and admin_file.read_text())
            yield until(lambda: _listener(admin)), admin, folder / "envoy" / "drain.sh"
        finally:
            process.kill()


@contextmanager
def edge(
    folder: Path,
    values: Values = CPU,
    authority: trustme.CA | None = None,
    server_tls: grpc.ServerCredentials | None = None,
) -> Iterator[tuple[str, str, Path, Turns]]:
    """The same before a server of turns, which it finds healthy."""
    turns, health = Turns(), ThreadingHTTPServer(("127.0.0.1", 0), _Ready)
    threading.Thread(target=health.serve_forever, daemon=True).start()
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[turns])
    here = "127.0.0.1:0"
    port = server.add_secure_port(here, server_tls) if server_tls else server.add_insecure_port(here)
    server.start()

    def move(bootstrap: Manifest) -> None:
        _, endpoint = servers_of(bootstrap)
        endpoint["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
        endpoint["health_check_config"]["port_value"] = health.server_address[1]

    with run_envoy(folder, values, move, authority) as (door, admin, script):
        try:
            until(lambda: "servers::127.0.0.1:" in page(admin, "/clusters"))
            until(lambda: "health_flags::healthy" in page(admin, "/clusters"))
            yield door, admin, script, turns
        finally:
            turns.end.set()
            server.stop(0)
            health.shutdown()


def page(admin: str, path: str) -> str:
    with urlopen(f"http://{admin}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def _listener(admin: str) -> str:
    found = json.loads(page(admin, "/listeners?format=json")).get("listener_statuses", [])
    ports = [each["local_address"]["socket_address"]["port_value"] for each in found if each["name"] == "edge"]
    return f"127.0.0.1:{ports[0]}" if ports and ports[0] else ""


def until(found: Any, longest_s: float = 60) -> Any:
    deadline_s = time.monotonic() + longest_s
    while not (value := found()):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return value


def test_the_metadata_that_can_crash_a_server_does_not_pass(tmp_path: Path) -> None:
    with edge(tmp_path) as (door, _, _, turns), grpc.insecure_channel(door) as channel:
        sent = (("triton_grpc_error", "true"), ("authorization", "Bearer mine"))
        turn = channel.stream_stream(METHOD)(iter([b"hello"]), timeout=60, metadata=sent)
        assert next(turn) == b"hello"
        assert turns.metadata["authorization"] == "Bearer mine" and "triton_grpc_error" not in turns.metadata


@pytest.mark.parametrize("call", ["RepositoryModelUnload", "RepositoryIndex", "TraceSetting", "LogSettings"])
def test_management_is_refused_at_the_edge(call: str, tmp_path: Path) -> None:
    with edge(tmp_path) as (door, admin, _, turns), grpc.insecure_channel(door) as channel:
        turn = channel.stream_stream(METHOD)(iter([b"hello"]), timeout=60)
        assert next(turn) == b"hello"
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(f"/inference.GRPCInferenceService/{call}")(b"", timeout=60)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert turns.begun == 1 and "cluster.servers.upstream_rq_total: 1" in page(admin, "/stats")


@pytest.mark.k8s
def test_an_envoy_that_ends_lets_its_turns_finish(tmp_path: Path) -> None:
    with edge(tmp_path) as (door, admin, script, turns), grpc.insecure_channel(door) as channel:
        grpc.channel_ready_future(channel).result(30)
        ask = channel.stream_stream(METHOD)
        turn = ask(iter([b"hello"]), timeout=60)
        assert next(turn) == b"hello"
        host, _, port = admin.rpartition(":")
        with subprocess.Popen(["bash", script, host, port, "1", "30"], stderr=subprocess.PIPE, text=True) as drain:
            until(lambda: "DRAINING" in _state(admin))
            later = ask(iter([b"later"]), timeout=60)  # before Services have forgotten it
            assert next(later) == b"later"
            time.sleep(3)
            assert drain.poll() is None, "it did not wait for the turns"
            turns.end.set()
            assert list(turn) == list(later) == []
            assert drain.wait(10) == 0


@pytest.mark.k8s
def test_one_that_may_wait_no_longer_says_so(tmp_path: Path) -> None:
    with edge(tmp_path) as (door, admin, script, _), grpc.insecure_channel(door) as channel:
        grpc.channel_ready_future(channel).result(30)
        turn = channel.stream_stream(METHOD)(iter([b"hello"]), timeout=60)
        assert next(turn) == b"hello"
        host, _, port = admin.rpartition(":")
        ended = subprocess.run(["bash", script, host, port, "0", "2"], capture_output=True, text=True)
        assert ended.returncode == 1 and "turns still ran after 2 s" in ended.stderr


def _state(admin: str) -> str:
    return str(json.loads(page(admin, "/server_info"))["state"])
