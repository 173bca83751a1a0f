"""``stream-omni bench``: how fast a server answers, as its users feel it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from stream_omni_client.async_client import AsyncStreamOmni
from stream_omni_client.audio import read_audio
from stream_omni_client.command_answer import add_answer, answer_options
from stream_omni_client.command_connection import add_connection, connect_async
from stream_omni_client.command_exit import EXIT_CODES, run
from stream_omni_client.command_help import command_parser, positive
from stream_omni_client.errors import StreamOmniError
from stream_omni_client.reply import Reply
from stream_omni_client.turn_display import points

EXAMPLES = {
    "": "20 short written questions, one after the other",
    "--audio question.wav --output speech --turns 50 --concurrency 4": "spoken ones, four at a time",
    "--concurrency 8 --json > before.json": "numbers to compare later",
}

Ask: TypeAlias = Callable[[], Awaitable[Reply]]


def main(argv: list[str]) -> int:
    """Ask, count, print a table. Returns the exit code: of the first turn that failed, if any did."""
    arguments = make_parser().parse_args(argv)
    return run(lambda: asyncio.run(_bench(arguments)))


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "bench",
        "Ask the same question many times, so many at a time (each place asks again as soon as it is answered), and "
        "tell how long the first pieces and the whole took. Refused turns are not asked again; they count as failed.",
        EXAMPLES,
    )
    question = parser.add_mutually_exclusive_group()
    question.add_argument("--text", default="What can you do for me?", help="the question (default: %(default)r)")
    question.add_argument("--audio", type=Path, metavar="FILE", help="the question, spoken")
    parser.add_argument("--output", choices=("text", "speech"), default="text", help="default: %(default)s")
    parser.add_argument("--turns", type=positive, default=20, metavar="N", help="default: %(default)s")
    parser.add_argument("--concurrency", type=positive, default=1, metavar="C", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_answer(parser)
    add_connection(parser)
    return parser


@dataclass
class _Tally:
    wanted: int
    begun: int = 0
    replies: list[Reply] = field(default_factory=list)
    failures: list[StreamOmniError] = field(default_factory=list)

    def begin(self) -> bool:
        """Whether there is another turn to ask for."""
        self.begun += 1
        return self.begun <= self.wanted

    def show_progress(self) -> None:
        if sys.stderr.isatty():
            done = len(self.replies) + len(self.failures)
            print(f"\r{done}/{self.wanted} turns", end="\n" if done == self.wanted else "", file=sys.stderr, flush=True)


async def _bench(arguments: argparse.Namespace) -> int:
    tally = _Tally(arguments.turns)
    async with connect_async(arguments, max_retries=0) as client:
        ask = _question(client, arguments)
        await ask()  # what the first turn costs beyond others (a connection) is not of interest here
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(arguments.concurrency, arguments.turns)):
                group.create_task(_keep_asking(ask, tally))
        wall_s = time.monotonic() - began
    result = _result(tally, arguments.concurrency, wall_s)
    print(json.dumps(result)) if arguments.json else _print_table(result)
    for message, count in Counter(f"{type(error).__name__}: {error}" for error in tally.failures).items():
        print(f"stream-omni: {count} of {tally.wanted} turns failed: {message}", file=sys.stderr)
    return EXIT_CODES[type(tally.failures[0])] if tally.failures else 0


def _question(client: AsyncStreamOmni, arguments: argparse.Namespace) -> Ask:
    audio = None if arguments.audio is None else read_audio(arguments.audio)
    image = None if arguments.image is None else [picture.read_bytes() for picture in arguments.image]
    options = answer_options(arguments)

    async def ask() -> Reply:
        return await client.chat(
            None if audio else arguments.text,
            audio=audio,
            image=image,
            output=arguments.output,
            timeout_s=arguments.timeout,
            **options,
        )

    return ask


async def _keep_asking(ask: Ask, tally: _Tally) -> None:
    while tally.begin():
        try:
            tally.replies.append(await ask())
        except StreamOmniError as error:
            tally.failures.append(error)
        tally.show_progress()


def _result(tally: _Tally, concurrency: int, wall_s: float) -> dict[str, Any]:
    speech_s = sum(reply.audio.duration_s for reply in tally.replies if reply.audio)
    seen = [points(reply.client_timings) for reply in tally.replies]
    return {
        "turns": len(tally.replies),
        "failed": len(tally.failures),
        "concurrency": concurrency,
        "wall_s": round(wall_s, 3),
        "turns_per_s": round(len(tally.replies) / wall_s, 3),
        "speech_s_per_s": round(speech_s / wall_s, 3),
        "ms": {name: _percentiles([turn[name] for turn in seen]) for name in ("transcript", "text", "audio", "whole")},
    }


def _percentiles(values: list[float | None]) -> dict[str, float] | None:
    """None where a turn has no such thing."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    p50, p95 = np.percentile(there, [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def _print_table(result: dict[str, Any]) -> None:
    speech = f", {result['speech_s_per_s']:.2f} s of speech a second" if result["speech_s_per_s"] else ""
    print(
        f"{result['turns']} turns, {result['concurrency']} at a time, in {result['wall_s']:.1f} s: "
        f"{result['turns_per_s']:.2f} turns a second{speech}"
    )
    print(f"{'ms':<18}{'p50':>10}{'p95':>10}")
    for name, value in result["ms"].items():
        label = name if name == "whole" else f"first {name}"
        cells = ("-", "-") if value is None else (f"{value['p50']:.0f}", f"{value['p95']:.0f}")
        print(f"{label:<18}{cells[0]:>10}{cells[1]:>10}")
