"""``stream-omni gateway``: serve the OpenAI-compatible HTTP interface in front of a served Stream-Omni."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from stream_omni_client.command_connection import add_connection, choose_files
from stream_omni_client.command_exit import run
from stream_omni_client.gateway.application import create_application
from stream_omni_client.gateway.settings import Settings

_DEFAULTS = Settings()


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM. Returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if (arguments.https_cert is None) != (arguments.https_key is None):
        parser.error("--https-cert and --https-key need each other")
    return run(lambda: _serve(_settings(arguments)))


def _serve(settings: Settings) -> int:
    config = uvicorn.Config(
        create_application(settings),
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.https_cert,
        ssl_keyfile=settings.https_key,
        timeout_graceful_shutdown=settings.drain_timeout_s,
        access_log=False,  # a JSON line per request says more
        server_header=False,
        log_level="warning",
    )
    server = uvicorn.Server(config)
    server.run()
    return 0 if server.started else 1


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        triton_url=arguments.url,
        triton_api_key=arguments.api_key,
        triton_tls=choose_files(arguments),
        host=arguments.host,
        port=arguments.port,
        https_cert=arguments.https_cert,
        https_key=arguments.https_key,
        api_keys=arguments.api_keys,
        model=arguments.model,
        fetch_pictures=arguments.fetch_pictures,
        turn_timeout_s=arguments.turn_timeout,
        drain_timeout_s=arguments.drain_timeout,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni gateway",
        description="Serve the OpenAI-compatible HTTP interface in front of a served Stream-Omni (docs/gateway.md).",
    )
    door = parser.add_argument_group("the door that it opens")
    door.add_argument("--host", default=_DEFAULTS.host, help="0.0.0.0 lets everybody in (default: %(default)s)")
    door.add_argument("--port", type=int, default=_DEFAULTS.port, help="0: any free port (default: %(default)s)")
    door.add_argument(
        "--api-keys", type=Path, metavar="FILE", help="ask every request for one of the keys of `stream-omni keys make`"
    )
    door.add_argument("--https-cert", type=Path, metavar="PEM", help="the gateway's own certificate")
    door.add_argument("--https-key", type=Path, metavar="PEM", help="its key")
    door.add_argument("--model", default=_DEFAULTS.model, help="the name that callers give (default: %(default)s)")
    door.add_argument("--fetch-pictures", action="store_true", help="take pictures by http(s) URL from public addresses")
    door.add_argument("--turn-timeout", type=float, default=_DEFAULTS.turn_timeout_s, metavar="S")
    door.add_argument("--drain-timeout", type=int, default=_DEFAULTS.drain_timeout_s, metavar="S")
    add_connection(parser)
    return parser
