"""Rotel, an OpenTelemetry collector made for production, as a process on loopback."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

HAS_ROTEL = find_spec("rotel") is not None
_PATIENCE_S = 30.0


@contextmanager
def rotel(onward: str, folder: Path) -> Iterator[str]:
    """What `--trace-endpoint` takes; it passes on to the collector ``onward``, over HTTP."""
    with ExitStack() as held:
        ports = [held.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(2)]
        grpc, http = (f"127.0.0.1:{port.getsockname()[1]}" for port in ports)
    options = {
        "otlp-grpc-endpoint": grpc,
        "otlp-http-endpoint": http,
        "pid-file": str(folder / "rotel.pid"),
        "exporter": "otlp",
        "otlp-exporter-protocol": "http",
        "otlp-exporter-endpoint": onward,
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    with (folder / "rotel.log").open("w") as log:
        process = subprocess.Popen([_program(), "start", *flags], stdout=log, stderr=log)
        try:
            _wait_for(http, process)
            yield f"http://{http}"
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)


def _program() -> str:
    spec = find_spec("rotel")
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).with_name("rotel-agent"))


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.rpartition(":")
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionError:
            assert process.poll() is None and time.monotonic() < deadline_s, "rotel does not listen"
            time.sleep(0.05)
        else:
            return
