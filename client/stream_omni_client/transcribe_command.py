"""``stream-omni transcribe``: what is said in sound files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream_omni_client.client import StreamOmni
from stream_omni_client.command_connection import add_connection, connect
from stream_omni_client.command_exit import run
from stream_omni_client.command_help import command_parser
from stream_omni_client.turn_display import print_json

EXAMPLES = {
    "question.wav": "what was said, on stdout, as it is understood",
    "*.wav > transcripts.txt": "a line for each file, in their order; the files' names and times on stderr",
    "question.wav --json": "one JSON object per event, with the file's name",
}


def main(argv: list[str]) -> int:
    """Print the transcripts. Returns the exit code."""
    arguments = make_parser().parse_args(argv)
    return run(lambda: _transcribe_all(arguments))


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "transcribe", "Write down what is said in sound files, a line for each. Ends at the first that fails.", EXAMPLES
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="WAV, FLAC, OGG or MP3")
    parser.add_argument("--timeout", type=float, metavar="S", help="give up a file that takes longer than S seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object per event on stdout")
    add_connection(parser)
    return parser


def _transcribe_all(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        for file in arguments.files:
            _transcribe(client, file, arguments)
    return 0


def _transcribe(client: StreamOmni, file: Path, arguments: argparse.Namespace) -> None:
    with client.stream_transcript(file, timeout_s=arguments.timeout) as stream:
        if arguments.json:
            print_json(stream, file=str(file))
            return
        for piece in stream.transcript:
            print(piece, end="", flush=True)
        print(flush=True)
    print(f"{file}: after {stream.finish().client_timings.total_ms or 0:.0f} ms", file=sys.stderr)
