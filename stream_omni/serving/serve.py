"""``stream-omni serve``: one server, from a built directory to a clean end."""

from __future__ import annotations

import argparse
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stream_omni.serving.admin import AdminDoor
from stream_omni.serving.event_log import EventLines
from stream_omni.serving.launcher import LaunchError, TritonServer
from stream_omni.serving.log_lines import JsonLog
from stream_omni.serving.security import Security, ServerTls
from stream_omni.serving.supervisor import Supervision, Supervisor
from stream_omni.serving.tracing import Tracing

_STDOUT, _STDERR = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C, SIGTERM or an order to drain. Exit code 0 after a drained end, 1 if the server could not
    start or could not be kept answering."""
    arguments = make_parser().parse_args(argv)
    for number in _ENDING:
        signal.signal(number, _interrupt_once)
    is_json = arguments.log_format == "json"
    _log_supervision(is_json)
    supervisor, log = None, JsonLog(_STDERR) if is_json else None
    try:
        supervisor = Supervisor(_server(arguments, log), _supervision(arguments))
        longest_idle_s = arguments.ready_timeout_s + 60
        with AdminDoor(supervisor, arguments.admin_host, arguments.admin_port, longest_idle_s) as admin:
            _say(f"admin    {admin.url}")
            try:
                supervisor.start()
                _say_where(supervisor.server)
                supervisor.watch()
            except KeyboardInterrupt:
                _say("draining")
                supervisor.drain()
        return 0
    except KeyboardInterrupt:  # before there was anything to drain
        return 0
    except LaunchError as error:
        _say(f"stream-omni serve: {error}", _STDERR)
        return 1
    finally:
        if supervisor is not None:
            supervisor.server.stop()
        if log is not None:
            log.close()


def _log_supervision(is_json: bool) -> None:
    if is_json:
        logging.basicConfig(handlers=[EventLines("supervisor")], format="%(message)s", level=logging.WARNING)
    else:
        logging.basicConfig(format="%(asctime)s stream-omni serve: %(message)s", level=logging.WARNING)


def _server(arguments: argparse.Namespace, log: JsonLog | None) -> TritonServer:
    return TritonServer(
        arguments.repository,
        host=arguments.host,
        grpc_port=arguments.grpc_port,
        http_port=arguments.http_port,
        metrics_port=arguments.metrics_port,
        ready_timeout_s=arguments.ready_timeout_s,
        drain_timeout_s=arguments.drain_timeout_s,
        security=_security(arguments),
        log_content=arguments.log_content,
        tracing=Tracing(arguments.trace_endpoint or None, arguments.trace_ratio),
        log=log.file if log else None,
    )


def _supervision(arguments: argparse.Namespace) -> Supervision:
    return Supervision(
        arguments.probe_interval_s, arguments.probe_timeout_s, arguments.tries, arguments.reloads_per_server
    )


def _say_where(server: TritonServer) -> None:
    http = f"HTTP     {server.http_url}\n" if server.http_url else ""
    _say(f"gRPC     {server.grpc_url}\n{http}metrics  {server.metrics_url}\nready")


def _say(text: str, file: int = _STDOUT) -> None:
    """Unbuffered, and lost where there is no room: that must neither end a server nor spoil its exit code."""
    with suppress(OSError):
        os.write(file, f"{text}\n".encode())


_ENDING = (signal.SIGINT, signal.SIGTERM)


def _interrupt_once(*_: object) -> None:
    """Also while the server starts. A second signal must not interrupt the clean-up, which is bounded."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _security(arguments: argparse.Namespace) -> Security:
    """Raises LaunchError for options that make no sense without others."""
    pairs = {
        "tls_cert": "tls_key",
        "tls_key": "tls_cert",
        "tls_client_ca": "tls_cert",
        "tls_probe_cert": "tls_client_ca",
    }
    for option, needed in pairs.items():
        if getattr(arguments, option) and not getattr(arguments, needed):
            raise LaunchError(f"--{option.replace('_', '-')} needs --{needed.replace('_', '-')}")
    if arguments.tls_cert is None:
        return Security(arguments.api_keys)
    own = arguments.tls_probe_cert, arguments.tls_probe_key
    return Security(arguments.api_keys, ServerTls(arguments.tls_cert, arguments.tls_key, arguments.tls_client_ca, *own))


def _add_security(parser: argparse.ArgumentParser) -> None:
    keys = parser.add_argument_group("who is let in (SECURITY.md)")
    keys.add_argument(
        "--api-keys", type=Path, metavar="FILE", help="ask every turn for one of the keys of `stream-omni keys make`"
    )
    keys.add_argument("--tls-cert", type=Path, metavar="PEM", help="the server's certificate: gRPC speaks TLS")
    keys.add_argument("--tls-key", type=Path, metavar="PEM", help="its key")
    keys.add_argument(
        "--tls-client-ca", type=Path, metavar="PEM", help="demand certificates of clients that this CA signed"
    )
    keys.add_argument(
        "--tls-probe-cert",
        type=Path,
        metavar="PEM",
        help="with --tls-client-ca: what `serve` itself shows as a client; without it the server's own certificate",
    )
    keys.add_argument("--tls-probe-key", type=Path, metavar="PEM", help="its key")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni serve",
        description="Start a Triton server on a built directory, keep it answering, and end it cleanly on Ctrl-C.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--repository", type=Path, required=True, metavar="DIR", help="what `stream-omni build --out` wrote"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets everybody in")
    parser.add_argument("--grpc-port", type=int, default=0, help="0: any free port")
    parser.add_argument(
        "--http-port",
        type=int,
        help="open Triton's own HTTP, for programs of this machine only: who reaches it can crash the server, with or "
        "without a key (SECURITY.md); 0: any free port",
    )
    parser.add_argument("--metrics-port", type=int, default=0, help="0: any free port")
    parser.add_argument("--ready-timeout-s", type=float, default=300.0, help="until the first answered turn")
    parser.add_argument("--drain-timeout-s", type=int, default=10, help="what running turns get to finish in")
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="of Triton's own lines; a turn's are JSON anyway"
    )
    parser.add_argument(
        "--log-content", action="store_true", help="write what was asked and answered into the log as well"
    )
    _add_tracing(parser)
    _add_supervision(parser)
    _add_security(parser)
    return parser


def _add_tracing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("traces (docs/tracing.md)")
    group.add_argument(
        "--trace-endpoint",
        metavar="URL",
        default=os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        help="send traces of turns to this OpenTelemetry collector, such as http://localhost:4318 (OTLP over HTTP)",
    )
    group.add_argument(
        "--trace-ratio",
        type=float,
        metavar="R",
        default=1.0,
        help="how many of the turns whose clients send no traceparent, 0 to 1; others are traced where their client's "
        "trace is",
    )


def _add_supervision(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("supervision")
    group.add_argument("--admin-host", default="127.0.0.1", help="address of /live, /ready, /status and /drain")
    group.add_argument("--admin-port", type=int, default=0, help="0: any free port")
    group.add_argument("--probe-interval-s", type=float, default=10.0, help="between two looks whether stages answer")
    group.add_argument("--probe-timeout-s", type=float, default=30.0, help="what a stage may take before it is dead")
    group.add_argument("--tries", type=int, default=5, help="at mending one thing, before giving up with exit code 1")
    group.add_argument("--reloads-per-server", type=int, default=20, help="of stages, before a fresh server when idle")
