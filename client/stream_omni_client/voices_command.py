"""``stream-omni voices``: the names that ``--voice`` takes, one per line."""

from __future__ import annotations

import argparse

from stream_omni_client.command_connection import add_connection, connect
from stream_omni_client.command_exit import EXIT_CODES_HELP, run


def main(argv: list[str]) -> int:
    """Print the names. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="stream-omni voices", description="List the voices that the server has.", epilog=EXIT_CODES_HELP
    )
    add_connection(parser)
    arguments = parser.parse_args(argv)
    return run(lambda: _list_voices(arguments))


def _list_voices(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        print("\n".join(client.voices()))
    return 0
