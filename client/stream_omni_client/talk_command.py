"""``stream-omni talk``: a spoken conversation, turn by turn."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from stream_omni_client.audio import AudioInput
from stream_omni_client.command_answer import add_answer, answer_options
from stream_omni_client.command_connection import add_connection, connect
from stream_omni_client.command_exit import run, tell
from stream_omni_client.command_help import command_parser
from stream_omni_client.conversation import Conversation
from stream_omni_client.errors import InvalidRequest, Overloaded
from stream_omni_client.keyboard import Keyboard
from stream_omni_client.microphone import Microphone
from stream_omni_client.reply import Reply
from stream_omni_client.speaker import Speaker
from stream_omni_client.turn_display import play, points, print_json, show

EXAMPLES = {
    "": "press Enter, speak, press Enter again; Enter also interrupts an answer; q and Enter ends",
    "--image photo.jpg --voice default": "about a picture, which goes with every question",
    "--wav first.wav --wav second.wav --mute": "files instead of the microphone, nothing is played: for scripts",
    "--wav question.wav --mute --json --out answers": "events on stdout, each answer as answers/turn-N.wav",
}


def main(argv: list[str]) -> int:
    """Talk until there are no more questions. Returns the exit code."""
    arguments = _parse(argv)
    return run(lambda: _talk(arguments))


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "talk",
        "Talk with the model: what you say goes in, the answer is heard and read as it is made, and each question "
        "knows what was said before it; of an interrupted answer, what you heard of it. Needs the extras `microphone` "
        "and `play`, unless --wav and --mute stand in for them.",
        EXAMPLES,
    )
    parser.add_argument(
        "--wav", type=Path, action="append", metavar="FILE", help="a question instead of the microphone; repeatedly"
    )
    parser.add_argument("--mute", action="store_true", help="do not play the answers")
    parser.add_argument("--output", choices=("text", "speech"), default="speech", help="default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the spoken answers there, as turn-N.wav")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per event on stdout, with the turn's number"
    )
    add_answer(parser)
    add_connection(parser)
    return parser


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.out is not None and not arguments.out.is_dir():
        parser.error(f"--out: there is no folder {arguments.out}")
    return arguments


def _talk(arguments: argparse.Namespace) -> int:
    keyboard = None if arguments.wav else Keyboard()
    is_heard = arguments.output == "speech" and not arguments.mute
    with (
        Speaker() if is_heard else contextlib.nullcontext() as speaker,
        connect(arguments) as client,
        client.converse(output=arguments.output, **answer_options(arguments)) as conversation,
    ):
        talk = _Talk(arguments, conversation, speaker, keyboard)
        for number, question in enumerate(_questions(arguments, keyboard), 1):
            try:
                talk.turn(number, question)
            except (InvalidRequest, Overloaded) as error:
                if keyboard is None:
                    raise
                tell(error)  # too short, silent, or a full server: say it again
    return 0


def _questions(arguments: argparse.Namespace, keyboard: Keyboard | None) -> Iterator[AudioInput]:
    if keyboard is None:
        yield from arguments.wav
        return
    while True:
        _say("Enter to speak, q and Enter to end")
        if keyboard.wait() in ("q", None):
            return
        with Microphone() as microphone:
            _say("listening; Enter when you have spoken")
            if keyboard.wait() is None:
                return
            recording = microphone.recording
        yield recording


class _Talk:
    def __init__(
        self,
        arguments: argparse.Namespace,
        conversation: Conversation,
        speaker: Speaker | None,
        keyboard: Keyboard | None,
    ) -> None:
        self._arguments, self._conversation = arguments, conversation
        self._speaker, self._keyboard = speaker, keyboard

    def turn(self, number: int, question: AudioInput) -> None:
        asked = self._conversation.stream(
            audio=question, image=self._arguments.image, timeout_s=self._arguments.timeout
        )
        listening = self._keyboard.on_enter(self._interrupt) if self._keyboard else contextlib.nullcontext()
        with listening, asked as stream:
            events = play(stream, self._speaker)
            if self._arguments.json:
                print_json(events, turn=number)
            else:
                show(events)
            if self._speaker is not None:
                if stream.reply.heard_ms is None:
                    self._speaker.wait()
                self._speaker.stop()
        self._keep(number, stream.reply)

    def _interrupt(self) -> None:
        heard = self._conversation.interrupt(self._speaker.stop() if self._speaker else None)
        _say(f"interrupted; heard until: {heard[-60:]}")

    def _keep(self, number: int, reply: Reply) -> None:
        if self._arguments.out is not None and reply.audio is not None:
            reply.audio.save(self._arguments.out / f"turn-{number}.wav")
        if not self._arguments.json:
            seen = points(reply.client_timings)
            _say(", ".join(f"{name} {point / 1000:.2f} s" for name, point in seen.items() if point is not None))


def _say(words: str) -> None:
    print(f"[{words}]", file=sys.stderr, flush=True)
