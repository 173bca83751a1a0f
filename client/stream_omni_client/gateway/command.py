"""``stream-omni gateway``: serve the OpenAI-compatible HTTP interface in front of a served Stream-Omni."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from stream_omni_client.command_connection import add_connection, choose_files
from stream_omni_client.command_exit import run
from stream_omni_client.command_help import command_parser
from stream_omni_client.errors import InvalidRequest
from stream_omni_client.gateway.api_keys import KeyFileError, read_keys
from stream_omni_client.gateway.application import create_application
from stream_omni_client.gateway.log import log_libraries
from stream_omni_client.gateway.settings import Settings

EXAMPLES = {
    "--url localhost:8001": "lets who is on this machine in; try: curl http://localhost:8080/v1/models",
    "--host 0.0.0.0 --api-keys keys.json --https-cert server.pem --https-key server.key": "lets in who has a key",
}
_DEFAULTS = Settings()
_STDOUT = 1
_BACKLOG = 2048  # uvicorn's own


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM. Returns the exit code."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if (arguments.https_cert is None) != (arguments.https_key is None):
        parser.error("--https-cert and --https-key need each other")
    if arguments.https_client_ca is not None and arguments.https_cert is None:
        parser.error("--https-client-ca needs --https-cert")
    return run(lambda: _serve(_settings(arguments)))


class GatewayServer(uvicorn.Server):
    """Says where it is once it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        host, port = sockets[0].getsockname()[:2]
        where = f"[{host}]" if ":" in host else host
        _say(f"HTTP     {'https' if self.config.is_ssl else 'http'}://{where}:{port}\nready")


def _serve(settings: Settings) -> int:
    """Raises InvalidRequest and OSError for settings that cannot be."""
    if settings.api_keys is not None:
        try:
            read_keys(settings.api_keys)
        except KeyFileError as error:
            raise InvalidRequest(str(error)) from None
    log_libraries()
    server = GatewayServer(_configuration(settings))
    with _ended_by_signals(server), _listen(settings.host, settings.port) as listening:
        server.run([listening])
    return 0 if server.started else 1


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Also before uvicorn looks after signals itself; and when it has ended it raises them once more."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _configuration(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        create_application(settings),
        http="h11",  # whatever else is installed: the tests of clients that leave hold for this one
        timeout_keep_alive=75,  # longer than load balancers keep theirs, or they send requests into closing connections
        ssl_certfile=settings.https_cert,
        ssl_keyfile=settings.https_key,
        ssl_ca_certs=None if settings.https_client_ca is None else str(settings.https_client_ca),
        ssl_cert_reqs=ssl.CERT_NONE if settings.https_client_ca is None else ssl.CERT_REQUIRED,
        timeout_graceful_shutdown=settings.drain_timeout_s,
        access_log=False,  # a JSON line per request says more, and uvicorn's failures would tell what was in them
        log_config=None,
        log_level="critical",
        server_header=False,
        proxy_headers=False,  # nobody's address is looked at
        ws_max_size=2
        * settings.realtime.max_message_bytes,  # beyond it the connection breaks; between, an event says so
        ws_per_message_deflate=False,  # sound in base64 gains a quarter by it and costs a processor
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror}") from error


def _say(text: str) -> None:
    """Unbuffered, and lost where nobody reads: that must not end a gateway."""
    with suppress(OSError):
        os.write(_STDOUT, f"{text}\n".encode())


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        triton_url=arguments.url,
        triton_api_key=arguments.api_key,
        triton_tls=choose_files(arguments),
        host=arguments.host,
        port=arguments.port,
        https_cert=arguments.https_cert,
        https_key=arguments.https_key,
        https_client_ca=arguments.https_client_ca,
        api_keys=arguments.api_keys,
        model=arguments.model,
        aliases=tuple(arguments.alias),
        notice=arguments.notice,
        examples=arguments.examples,
        fetch_pictures=arguments.fetch_pictures,
        first_event_timeout_s=arguments.first_event_timeout,
        idle_timeout_s=arguments.idle_timeout,
        turn_timeout_s=arguments.turn_timeout,
        drain_timeout_s=arguments.drain_timeout,
    )


def _lines(path: str) -> tuple[str, ...]:
    """Of a text file, without the empty ones."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "gateway",
        "Serve the interface of OpenAI's chat, speech and transcriptions in front of a served Stream-Omni "
        "(docs/gateway.md), until Ctrl-C or SIGTERM, which let running answers finish.",
        EXAMPLES,
    )
    add_connection(parser)
    door = parser.add_argument_group("the door that it opens")
    door.add_argument("--host", default=_DEFAULTS.host, help="0.0.0.0 lets everybody in (default: %(default)s)")
    door.add_argument("--port", type=int, default=_DEFAULTS.port, help="0: any free port (default: %(default)s)")
    door.add_argument(
        "--api-keys", type=Path, metavar="FILE", help="ask every request for one of the keys of `stream-omni keys make`"
    )
    door.add_argument("--https-cert", type=Path, metavar="PEM", help="the gateway's own certificate")
    door.add_argument("--https-key", type=Path, metavar="PEM", help="its key")
    door.add_argument(
        "--https-client-ca", type=Path, metavar="PEM", help="demand certificates of callers that this CA signed"
    )
    door.add_argument("--model", default=_DEFAULTS.model, help="what callers name the model (default: %(default)s)")
    door.add_argument(
        "--alias", action="append", default=[], metavar="NAME", help="another name for it; may be given several times"
    )
    door.add_argument("--notice", metavar="TEXT", help='a line that the page shows, such as "Built with Llama"')
    door.add_argument(
        "--examples", type=_lines, default=(), metavar="FILE", help="questions that the page proposes, one a line"
    )
    door.add_argument("--fetch-pictures", action="store_true", help="also take pictures by URL, from public addresses")
    _add_times(parser)
    return parser


def _add_times(parser: argparse.ArgumentParser) -> None:
    times = parser.add_argument_group("times, in seconds")
    for name, default, what in (
        ("first-event", _DEFAULTS.first_event_timeout_s, "the server's first word of an answer"),
        ("idle", _DEFAULTS.idle_timeout_s, "the silence between two pieces of an answer"),
        ("turn", _DEFAULTS.turn_timeout_s, "a whole answer"),
        ("drain", _DEFAULTS.drain_timeout_s, "what running requests get to finish in at the end"),
    ):
        kind = type(default)
        times.add_argument(f"--{name}-timeout", type=kind, default=default, metavar="S", help=f"{what} ({default:g})")
