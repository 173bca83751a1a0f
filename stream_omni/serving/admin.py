"""The supervisor's own HTTP: whether the server lives, whether it is ready, what happened to it, and an order to stop.

Triton's own health answers cannot be believed: they call a model ready whose process is dead.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from types import TracebackType
from typing import Any

from stream_omni.serving.launcher import LaunchError
from stream_omni.serving.supervisor import Supervisor
from stream_omni.serving.supervisor_page import CONTENT_TYPE, page_of

_SLOW_CLIENT_S = 5.0
_LOOKS = ("/live", "/ready", "/status", "/metrics")
_ORDERS = ("/leave", "/drain")


class AdminDoor:
    """Answers while used with ``with``. ``longest_idle_s``: after which a supervisor that did not come by hangs.

    Raises LaunchError where nobody can listen.
    """

    def __init__(self, supervisor: Supervisor, host: str, port: int, longest_idle_s: float) -> None:
        try:
            self._http = _Http((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise LaunchError(f"cannot listen on {host}, port {port} (--admin-port): {error}") from error
        self._http.supervisor, self._http.longest_idle_s = supervisor, longest_idle_s

    @property
    def url(self) -> str:
        host, port = self._http.server_address[:2]
        return f"{host!s}:{port}"

    def __enter__(self) -> AdminDoor:
        threading.Thread(target=self._http.serve_forever, daemon=True, name="admin").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    supervisor: Supervisor
    longest_idle_s: float


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = _SLOW_CLIENT_S
    server_version, sys_version = "stream-omni", ""

    def do_GET(self) -> None:
        supervisor = self.server.supervisor
        if self.path == "/live":
            lives = supervisor.idle_s < self.server.longest_idle_s
            self._answer(200 if lives else 503, {"live": lives})
        elif self.path == "/ready":
            self._answer(200 if supervisor.is_ready else 503, {"ready": supervisor.is_ready})
        elif self.path == "/status":
            self._answer(200, supervisor.status())
        elif self.path == "/metrics":
            self._send(200, CONTENT_TYPE, page_of(supervisor))
        else:
            self._refuse_path()

    def do_POST(self) -> None:
        if self.path not in _ORDERS:
            self._refuse_path()
        elif not self._is_of_this_machine():
            self._answer(403, {"error": f"{self.path} is for programs on the server's own machine"})
        elif self.path == "/leave":
            self.server.supervisor.leave()
            self._answer(202, {"leaving": True})
        else:
            self.server.supervisor.refuse_turns()
            self._answer(202, {"draining": True})
            os.kill(os.getpid(), signal.SIGTERM)  # the one way to end, which also interrupts a start

    def _is_of_this_machine(self) -> bool:
        """And no web page that a browser there shows: those send where they come from."""
        return ip_address(self.client_address[0]).is_loopback and "Origin" not in self.headers

    def _refuse_path(self) -> None:
        self._answer(404, {"error": f"there are GET {', '.join(_LOOKS)} and POST {', '.join(_ORDERS)}"})

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        self._send(code, "application/json", json.dumps(content, ensure_ascii=False) + "\n")

    def _send(self, code: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds; nobody wants to read of them."""
