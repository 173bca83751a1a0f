"""``stream-omni voices``: the names that ``--voice`` takes, one per line."""

from __future__ import annotations

import argparse
import json

from stream_omni_client.command_connection import add_connection, connect
from stream_omni_client.command_exit import run
from stream_omni_client.command_help import command_parser


def main(argv: list[str]) -> int:
    """Print the names. Returns the exit code."""
    arguments = make_parser().parse_args(argv)
    return run(lambda: _list_voices(arguments))


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "voices", "List the voices that the server has.", {"": "one a line", "--json": "as a JSON list"}
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    add_connection(parser)
    return parser


def _list_voices(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        voices = client.voices()
    print(json.dumps(voices, ensure_ascii=False) if arguments.json else "\n".join(voices))
    return 0
