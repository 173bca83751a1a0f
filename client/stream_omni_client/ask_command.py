"""``stream-omni ask``: one turn on the command line."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from stream_omni_client.audio import WRITABLE_SUFFIXES
from stream_omni_client.command_answer import add_answer, answer_options
from stream_omni_client.command_connection import add_connection, connect
from stream_omni_client.command_exit import run
from stream_omni_client.command_help import command_parser
from stream_omni_client.speaker import Speaker
from stream_omni_client.turn_display import play, print_json, report, show

EXAMPLES = {
    '--text "What is Triton?"': "the answer's text on stdout, as it is made",
    "--audio question.wav --image photo.jpg --out answer.wav": "a spoken question about a picture, answered aloud",
    '--text "Tell me a story" --play': "hear it while it is made (needs the extra `play`)",
    "--audio question.wav --json | jq -r 'select(.event == \"text\").delta'": "one JSON object per event, for scripts",
}


def main(argv: list[str]) -> int:
    """Ask, show, save. Returns the exit code."""
    arguments = _parse(argv)
    return run(lambda: _ask(arguments))


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "ask",
        "Ask a question, written or spoken, with or without pictures. The answer's text goes to stdout as it comes, "
        "the transcript and the timings go to stderr.",
        EXAMPLES,
    )
    question = parser.add_mutually_exclusive_group(required=True)
    question.add_argument("--text", help="the question, written")
    question.add_argument("--audio", type=Path, metavar="FILE", help="the question, spoken (WAV, FLAC, OGG, MP3)")
    parser.add_argument(
        "--output", choices=("text", "speech"), help="default: text, or speech where --out or --play is given"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the spoken answer goes (default: answer.wav)")
    parser.add_argument("--play", action="store_true", help="play the spoken answer as it comes")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per event on stdout (without the samples)"
    )
    add_answer(parser)
    add_connection(parser)
    return parser


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    wants_speech = arguments.out is not None or arguments.play
    if wants_speech and arguments.output == "text":
        parser.error(f"{'--out' if arguments.out else '--play'} is for speech: leave out --output text")
    arguments.output = arguments.output or ("speech" if wants_speech else "text")
    if arguments.out is None and not arguments.play:
        arguments.out = Path("answer.wav")
    if arguments.out is not None:
        check_sound_file(parser, "--out", arguments.out)
    return arguments


def check_sound_file(parser: argparse.ArgumentParser, option: str, path: Path) -> None:
    """Whether it can be written, before anything is asked."""
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        parser.error(f"{option} must end in one of {', '.join(WRITABLE_SUFFIXES)}")
    if not path.parent.is_dir():
        parser.error(f"{option}: there is no folder {path.parent}")


def _ask(arguments: argparse.Namespace) -> int:
    with (
        Speaker() if arguments.play else contextlib.nullcontext() as speaker,
        connect(arguments) as client,
        client.stream(
            arguments.text,
            audio=arguments.audio,
            image=arguments.image,
            output=arguments.output,
            timeout_s=arguments.timeout,
            **answer_options(arguments),
        ) as stream,
    ):
        (print_json if arguments.json else show)(play(stream, speaker))
        if speaker is not None:
            speaker.wait()
    audio = stream.reply.audio
    if audio is not None and arguments.out is not None:
        audio.save(arguments.out)
    if not arguments.json:
        if audio is not None and arguments.out is not None:
            print(f"{arguments.out}: {audio.duration_s:.2f} s at {audio.sample_rate_hz} Hz", file=sys.stderr)
        report(stream.reply)
    return 0
