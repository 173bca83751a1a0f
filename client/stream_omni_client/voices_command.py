"""``stream-omni voices``: the names that ``--voice`` takes, one per line."""

from __future__ import annotations

import argparse

from stream_omni_client.client import StreamOmni
from stream_omni_client.command_exit import EXIT_CODES_HELP, run


def main(argv: list[str]) -> int:
    """Print the names. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="stream-omni voices", description="List the voices that the server has.", epilog=EXIT_CODES_HELP
    )
    parser.add_argument("--url", default="localhost:8001", help="the server's gRPC endpoint (default: %(default)s)")
    arguments = parser.parse_args(argv)
    return run(lambda: _list_voices(arguments.url))


def _list_voices(url: str) -> int:
    with StreamOmni(url) as client:
        print("\n".join(client.voices()))
    return 0
