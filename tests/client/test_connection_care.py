"""The connection's pings and its rest are such that Triton keeps it, and nobody on the way forgets it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from stream_omni_client import ConnectionFailed, DeadlineExceeded, StreamOmni, connection
from stream_omni_client.grpc_channel import OPTIONS

from stream_omni.serving import launcher
from tests.client.conftest import protocol_server
from tests.helm.name_server import name_server
from tests.sockets import ESTABLISHED, tcp_sockets

TRITON_MS = 300_000  # between two pings during a turn, unless it is told otherwise (see its --help)
QUICK = 300  # gRPC sends no pings that are less than a second apart


@contextmanager
def client_with(patch: pytest.MonkeyPatch, url: str, patience_s: float, **milliseconds: int) -> Iterator[StreamOmni]:
    changed = {f"grpc.{name}": value for name, value in milliseconds.items()}
    assert changed.keys() <= dict(OPTIONS).keys()
    patch.setattr(connection, "OPTIONS", [(name, changed.get(name, value)) for name, value in OPTIONS])
    with StreamOmni(url, first_event_timeout_s=patience_s) as client:
        yield client


def test_pings_during_a_silent_turn_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a server as strict as every Triton, with all times divided by 300."""
    strict = [f"--grpc-http2-min-recv-ping-interval-without-data={TRITON_MS // QUICK}"]
    monkeypatch.setattr(launcher, "connection_arguments", lambda *_: strict)
    every_ms = int(dict(OPTIONS)["grpc.keepalive_time_ms"]) // QUICK
    with (
        protocol_server(tmp_path / "log") as server,
        client_with(monkeypatch, server.grpc_url, 5 * every_ms / 1000, keepalive_time_ms=every_ms) as client,
        pytest.raises(DeadlineExceeded, match="nothing came"),
    ):
        client.chat("silent")


def test_more_pings_would_end_the_connection(protocol_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which shows that the test above can fail."""
    with (
        client_with(monkeypatch, protocol_url, 20, keepalive_time_ms=1000) as client,
        pytest.raises(ConnectionFailed, match="Too many pings"),
    ):
        client.chat("silent")


def test_without_turns_there_are_no_pings(protocol_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    others = connections(protocol_url)
    with client_with(monkeypatch, protocol_url, 5, keepalive_time_ms=1000) as client:
        client.chat("hello")
        ours = connections(protocol_url) - others
        time.sleep(5)  # in which more than four would have ended it, see above
        client.chat("hello")
        assert connections(protocol_url) - others == ours != set()


def test_a_connection_without_turns_is_given_up(protocol_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    others = connections(protocol_url)
    with client_with(monkeypatch, protocol_url, 5, client_idle_timeout_ms=1000) as client:
        client.chat("hello")
        assert len(connections(protocol_url) - others) == 1
        until(lambda: connections(protocol_url) <= others)
        assert client.chat("hello").text


def test_turns_go_round_the_addresses_of_a_name() -> None:
    """As DNS gives several for one name: a headless Service's. By a bare channel with the client's own options."""
    turns: Counter[str] = Counter()
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    with ExitStack() as stack:
        port = 0
        for address in addresses:
            port = stack.enter_context(counting_server(turns, address, port))
        names = stack.enter_context(name_server("servers.speech.svc", addresses))
        target = f"dns://127.0.0.1:{names.port}/servers.speech.svc:{port}"
        ask = stack.enter_context(grpc.insecure_channel(target, OPTIONS)).unary_unary("/a/turn")
        until(lambda: bool(ask(b"", wait_for_ready=True, timeout=10) == b"" and len(turns) == 3))  # all are connected
        turns.clear()
        for _ in range(30):
            ask(b"", timeout=10)
    assert dict(turns) == dict.fromkeys(addresses, 10)


@contextmanager
def counting_server(turns: Counter[str], address: str, port: int) -> Iterator[int]:
    """Its port, a free one for 0; ``turns`` counts by ``address``."""

    class Counting(grpc.GenericRpcHandler):
        def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(self._turn)

        def _turn(self, request: bytes, context: grpc.ServicerContext) -> bytes:
            turns[address] += 1
            return b""

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Counting()])
    bound = server.add_insecure_port(f"{address}:{port}")
    server.start()
    try:
        yield bound
    finally:
        server.stop(0)


def connections(url: str) -> set[str]:
    """This process's own, as the inode numbers of their sockets."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    return {each.inode for each in tcp_sockets(os.getpid(), ESTABLISHED) if each.remote.endswith(port)}


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
