"""The options by which commands say what answer they want."""

from __future__ import annotations

import argparse
from pathlib import Path

from stream_omni_client.turn import TurnOptions


def add_answer(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("answer")
    group.add_argument("--image", type=Path, action="append", metavar="FILE", help="a picture; may be given repeatedly")
    group.add_argument("--system", metavar="TEXT", help="system prompt")
    group.add_argument("--voice", metavar="NAME", help="see stream-omni voices")
    group.add_argument("--max-tokens", type=int, metavar="N", help="of the text")
    group.add_argument("--max-audio-ms", type=int, metavar="MS", help="of the speech")
    group.add_argument("--temperature", type=float, metavar="T", help="of the text; 0, the default, is greedy")
    group.add_argument("--top-p", type=float, metavar="P", help="of the text")
    group.add_argument("--seed", type=int, metavar="N", help="of everything random")
    group.add_argument("--timeout", type=float, metavar="S", help="give up a turn that is not over after S seconds")


def answer_options(arguments: argparse.Namespace) -> TurnOptions:
    return {
        "system": arguments.system,
        "voice": arguments.voice,
        "max_tokens": arguments.max_tokens,
        "max_audio_ms": arguments.max_audio_ms,
        "temperature": arguments.temperature,
        "top_p": arguments.top_p,
        "seed": arguments.seed,
    }
