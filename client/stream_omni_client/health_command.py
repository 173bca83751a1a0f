"""``stream-omni health``: whether the server answers a real, tiny turn."""

from __future__ import annotations

import argparse

from stream_omni_client.command_connection import add_connection, connect
from stream_omni_client.command_exit import EXIT_CODES_HELP, run


def main(argv: list[str]) -> int:
    """Print one line. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="stream-omni health",
        description="Have the server answer one token and say how long it took: Triton's own word is not enough, for "
        "it calls a model ready even when its process is dead.",
        epilog=EXIT_CODES_HELP,
    )
    add_connection(parser)
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="default: %(default)g seconds")
    arguments = parser.parse_args(argv)
    return run(lambda: _probe(arguments))


def _probe(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        reply = client.chat("Hi", max_tokens=1, timeout_s=arguments.timeout)
    print(f"{arguments.url} answers, in {reply.client_timings.total_ms:.0f} ms")
    return 0
