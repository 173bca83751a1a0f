"""``stream-omni health``: whether the server answers a real, tiny turn."""

from __future__ import annotations

import argparse
import json

from stream_omni_client.command_connection import add_connection, connect
from stream_omni_client.command_exit import run
from stream_omni_client.command_help import command_parser

EXAMPLES = {
    "": "says how long one token took",
    "--timeout 3 || restart-it": "the exit code is not 0 where no answer came within 3 seconds",
}


def main(argv: list[str]) -> int:
    """Print one line. Returns the exit code."""
    arguments = make_parser().parse_args(argv)
    return run(lambda: _probe(arguments))


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "health",
        "Have the server answer one token and say how long it took: Triton's own word is not enough, for it calls a "
        "model ready even when its process is dead.",
        EXAMPLES,
    )
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="default: %(default)g seconds")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    add_connection(parser)
    return parser


def _probe(arguments: argparse.Namespace) -> int:
    with connect(arguments, max_retries=0) as client:
        milliseconds = client.chat("Hi", max_tokens=1, timeout_s=arguments.timeout).client_timings.total_ms or 0
    if arguments.json:
        print(json.dumps({"url": client.url, "total_ms": milliseconds}))
    else:
        print(f"{client.url} answers, in {milliseconds:.0f} ms")
    return 0
