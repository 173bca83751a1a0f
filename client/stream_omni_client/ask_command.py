"""``stream-omni ask``: one turn on the command line.

The answer's text goes to stdout as it comes, so that it can be piped; the transcript and the timings go to stderr. With
``--json`` stdout gets one JSON object per event instead, and stderr only errors.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from stream_omni_client.audio import WRITABLE_SUFFIXES
from stream_omni_client.command_connection import add_connection, connect
from stream_omni_client.command_exit import EXIT_CODES_HELP, run
from stream_omni_client.events import AudioDelta, Done, Event, TextDelta, TranscriptDelta
from stream_omni_client.reply import Reply
from stream_omni_client.turn import TurnOptions

_EVENT_NAMES = {TranscriptDelta: "transcript", TextDelta: "text", AudioDelta: "audio", Done: "done"}


def main(argv: list[str]) -> int:
    """Ask, show, save. Returns the exit code."""
    arguments = _parse(argv)
    return run(lambda: _ask(arguments))


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="stream-omni ask",
        description="Ask a question, written or spoken, with or without pictures.",
        epilog=f"example: stream-omni ask --audio question.wav --image photo.jpg --out answer.wav; {EXIT_CODES_HELP}",
    )
    question = parser.add_mutually_exclusive_group(required=True)
    question.add_argument("--text", help="the question, written")
    question.add_argument("--audio", type=Path, metavar="FILE", help="the question, spoken (WAV, FLAC, OGG, MP3)")
    parser.add_argument(
        "--image", type=Path, action="append", metavar="FILE", help="a picture; may be given several times"
    )
    parser.add_argument("--output", choices=("text", "speech"), help="default: text, or speech where --out is given")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the spoken answer goes (default: answer.wav)")
    parser.add_argument("--system", help="system prompt")
    parser.add_argument("--voice", help="see stream-omni voices")
    parser.add_argument("--max-tokens", type=int, metavar="N")
    parser.add_argument("--temperature", type=float, metavar="T", help="of the text; 0, the default, is greedy")
    parser.add_argument("--top-p", type=float, metavar="P")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument(
        "--timeout", type=float, metavar="S", help="give up when the answer is not whole after S seconds"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per event (without the samples)")
    add_connection(parser)
    arguments = parser.parse_args(argv)
    arguments.output = arguments.output or ("speech" if arguments.out else "text")
    if arguments.out and arguments.output == "text":
        parser.error("--out is for speech: leave out --output text")
    arguments.out = arguments.out or Path("answer.wav")
    if arguments.out.suffix.lower() not in WRITABLE_SUFFIXES:
        parser.error(f"--out must end in one of {', '.join(WRITABLE_SUFFIXES)}")
    if not arguments.out.parent.is_dir():
        parser.error(f"--out: there is no folder {arguments.out.parent}")
    return arguments


def _ask(arguments: argparse.Namespace) -> int:
    options: TurnOptions = {
        "system": arguments.system,
        "voice": arguments.voice,
        "max_tokens": arguments.max_tokens,
        "temperature": arguments.temperature,
        "top_p": arguments.top_p,
        "seed": arguments.seed,
    }
    with (
        connect(arguments) as client,
        client.stream(
            arguments.text,
            audio=arguments.audio,
            image=arguments.image,
            output=arguments.output,
            timeout_s=arguments.timeout,
            **options,
        ) as stream,
    ):
        (_print_json if arguments.json else _show)(stream)
    audio = stream.reply.audio
    if audio is not None:
        audio.save(arguments.out)
    if not arguments.json:
        if audio is not None:
            print(f"{arguments.out}: {audio.duration_s:.2f} s at {audio.sample_rate_hz} Hz", file=sys.stderr)
        _report(stream.reply)
    return 0


def _show(events: Iterable[Event]) -> None:
    """Transcript and text live, each on a line of its own although they go to two streams."""
    unfinished: TextIO | None = None  # the stream whose line is being written
    try:
        for event in events:
            if not isinstance(event, TranscriptDelta | TextDelta):
                continue
            stream = sys.stderr if isinstance(event, TranscriptDelta) else sys.stdout
            if unfinished is not stream:
                if unfinished:
                    print(file=unfinished, flush=True)
                print("heard: " if stream is sys.stderr else "", end="", file=stream)
                unfinished = stream
            print(event.delta, end="", file=stream, flush=True)
    finally:
        if unfinished:
            print(file=unfinished, flush=True)


def _print_json(events: Iterable[Event]) -> None:
    for event in events:
        fields: dict[str, Any] = {"event": _EVENT_NAMES[type(event)], **asdict(event)}
        if isinstance(event, AudioDelta):
            fields |= {"samples": len(event.samples), "units": event.units.tolist()}
        print(json.dumps(fields, ensure_ascii=False), flush=True)


def _report(reply: Reply) -> None:
    if reply.finish_reason == "length":
        print("cut by a limit (finish reason: length)", file=sys.stderr)
    print("first piece after, ms   transcript        text       audio       whole", file=sys.stderr)
    for name, timings in (("server", reply.timings), ("client", reply.client_timings)):
        points = (timings.first_transcript_ms, timings.first_text_ms, timings.first_audio_ms, timings.total_ms)
        cells = ("-" if point is None else f"{point:.0f}" for point in points)
        print(f"  {name:<20}" + "".join(f"{cell:>12}" for cell in cells), file=sys.stderr)
