"""Servers come and go behind the name of the headless Service: Envoy follows, and cuts no turn of one that left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.helm.cases import CPU
from tests.helm.name_server import NameServer, name_server
from tests.helm.test_envoy import METHOD, Turns, page, run_envoy, servers_of, until

pytestmark = pytest.mark.k8s

_NAME = "talk-stream-omni-server-headless.speech.svc"
_MANY = 10  # turns: of two servers drawn by lot, which may be the same one, Envoy takes the less busy one
_NOTICED_S = 20.0  # a look at the name and some at /ready, each 2 s apart
_RESOLVER = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


@dataclass
class Pod:
    """Turns and /ready at an address of its own, at the same ports as all others."""

    address: str
    turns: Turns = field(default_factory=Turns)
    is_ready: bool = True
    _server: grpc.Server = field(init=False)

    def start(self, stack: ExitStack, grpc_port: int, health_port: int) -> tuple[int, int]:
        """At free ports where 0 is given; they are returned."""
        pod = self

        class Ready(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if pod.is_ready else 503)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        health = ThreadingHTTPServer((self.address, health_port), Ready)
        threading.Thread(target=health.serve_forever, daemon=True).start()
        stack.callback(health.shutdown)
        self._server = grpc.server(futures.ThreadPoolExecutor(3 * _MANY), handlers=[self.turns])
        bound = self._server.add_insecure_port(f"{self.address}:{grpc_port}")
        self._server.start()
        stack.callback(self.stop)
        return bound, health.server_address[1]

    def stop(self) -> None:
        """It takes no turns any more, though it says that it is ready."""
        self.turns.end.set()
        self._server.stop(0)


@dataclass
class Stand:
    names: NameServer
    pods: list[Pod]
    admin: str
    channel: grpc.Channel

    def known(self) -> set[str]:
        """Addresses that Envoy knows and finds healthy."""
        lines = page(self.admin, "/clusters").splitlines()
        rows = [line.split("::") for line in lines if line.startswith("servers::127.") and "health_flags" in line]
        return {row[1].partition(":")[0] for row in rows if row[3] == "healthy"}

    def begin(self, *metadata: tuple[str, str]) -> tuple[str, Any]:
        """A turn that goes on: the address of who has it, and its answers."""
        before = {pod.address: pod.turns.begun for pod in self.pods}
        call = self.channel.stream_stream(METHOD)(iter([b"hello"]), timeout=120, metadata=metadata)
        assert next(call) == b"hello"
        (taker,) = [pod.address for pod in self.pods if pod.turns.begun > before[pod.address]]
        return taker, call


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with ExitStack() as stack:
        pods = [Pod(f"127.0.0.{number}") for number in (2, 3)]
        ports = pods[0].start(stack, 0, 0)
        pods[1].start(stack, *ports)
        names = stack.enter_context(name_server(_NAME, [pod.address for pod in pods]))

        def move(bootstrap: dict[str, Any]) -> None:
            """Only ports differ from the chart's, and whom to ask for the name."""
            cluster, endpoint = servers_of(bootstrap)
            assert endpoint["address"]["socket_address"]["address"] == _NAME
            endpoint["address"]["socket_address"]["port_value"], port = ports
            endpoint["health_check_config"]["port_value"] = port
            whom = {"socket_address": {"address": "127.0.0.1", "port_value": names.port}}
            cluster["typed_dns_resolver_config"] = {
                "name": "envoy.network.dns_resolver.cares",
                "typed_config": {"@type": _RESOLVER, "resolvers": [whom]},
            }

        door, admin, _ = stack.enter_context(run_envoy(tmp_path, CPU, move))
        channel = stack.enter_context(grpc.insecure_channel(door))
        running = Stand(names, pods, admin, channel)
        until(lambda: running.known() == {pod.address for pod in pods}, _NOTICED_S)
        yield running


def test_a_server_that_left_the_name_finishes_its_turns_and_gets_no_new_ones(stand: Stand) -> None:
    begun = [stand.begin() for _ in range(_MANY)]
    leaving, staying = stand.pods
    assert {taker for taker, _ in begun} == {leaving.address, staying.address}
    leaving.is_ready = False  # the pod's preStop hook
    stand.names.addresses = [staying.address]  # the endpoints' controller
    until(lambda: f"servers::{leaving.address}:" not in page(stand.admin, "/clusters"), _NOTICED_S)
    assert {stand.begin()[0] for _ in range(4)} == {staying.address}
    leaving.turns.end.set()
    for taker, call in begun:
        if taker == leaving.address:
            assert list(call) == [], "its turn was cut"


def test_a_server_that_joins_the_name_gets_turns(stand: Stand) -> None:
    first, second = stand.pods
    second.is_ready = False
    stand.names.addresses = [first.address]
    until(lambda: stand.known() == {first.address}, _NOTICED_S)
    assert {stand.begin()[0] for _ in range(3)} == {first.address}
    second.is_ready = True
    stand.names.addresses = [first.address, second.address]
    until(lambda: stand.known() == {first.address, second.address}, _NOTICED_S)
    begun = [stand.begin() for _ in range(_MANY)]  # all go on: who has fewer gets the next
    takers = [taker for taker, _ in begun]
    assert takers.count(second.address) > _MANY / 3, takers
