"""The options by which every command finds its server and is let in."""

from __future__ import annotations

import argparse
from pathlib import Path

from stream_omni_client.access import Tls
from stream_omni_client.async_client import AsyncStreamOmni
from stream_omni_client.client import StreamOmni
from stream_omni_client.settings import DEFAULT_URL, URL


def add_connection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--url", metavar="HOST:PORT", help=f"the server's gRPC endpoint (default: {URL}, or else {DEFAULT_URL})"
    )
    group.add_argument(
        "--api-key",
        metavar="KEY",
        help="default: STREAM_OMNI_API_KEY of the environment, where other users of the machine do not see it, or "
        "what the file STREAM_OMNI_API_KEY_FILE holds",
    )
    group.add_argument("--tls", action="store_true", help="with a server whose certificate a public CA signed")
    group.add_argument("--tls-ca", type=Path, metavar="PEM", help="who signs its certificate (or STREAM_OMNI_TLS_CA)")
    group.add_argument("--tls-cert", type=Path, metavar="PEM", help="the client's own (or STREAM_OMNI_TLS_CERT)")
    group.add_argument("--tls-key", type=Path, metavar="PEM", help="its key (or STREAM_OMNI_TLS_KEY)")


def connect(arguments: argparse.Namespace, max_retries: int = 2) -> StreamOmni:
    """Raises InvalidRequest, OSError."""
    return StreamOmni(arguments.url, api_key=arguments.api_key, tls=choose_files(arguments), max_retries=max_retries)


def connect_async(arguments: argparse.Namespace, max_retries: int = 2) -> AsyncStreamOmni:
    """Raises InvalidRequest, OSError."""
    return AsyncStreamOmni(
        arguments.url, api_key=arguments.api_key, tls=choose_files(arguments), max_retries=max_retries
    )


def choose_files(arguments: argparse.Namespace) -> Tls | bool | None:
    """What the options say of TLS; None: the environment does. Raises InvalidRequest."""
    files = (arguments.tls_ca, arguments.tls_cert, arguments.tls_key)
    return Tls(*files) if any(files) else (arguments.tls or None)
