"""``stream-omni``: finds the command's module and runs it. Loads nothing that the command does not need."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Command:
    """``module`` has a ``main(arguments) -> exit code`` and a ``make_parser()``, from which shells learn its options;
    ``extra`` is what it needs installed beside the client."""

    help: str
    module: str
    extra: str | None = None


COMMANDS = {
    "ask": Command("ask a question; see and hear the answer as it is made", "stream_omni_client.ask_command"),
    "talk": Command("talk with the model: microphone in, loudspeaker out", "stream_omni_client.talk_command"),
    "transcribe": Command("write down what is said in sound files", "stream_omni_client.transcribe_command"),
    "voices": Command("list the voices that the server has", "stream_omni_client.voices_command"),
    "health": Command("see whether the server answers", "stream_omni_client.health_command"),
    "bench": Command("measure how fast a server answers", "stream_omni_client.bench_command"),
    "completion": Command("complete commands and options in your shell", "stream_omni_client.completion_command"),
    "gateway": Command("serve an OpenAI-compatible interface", "stream_omni_client.gateway.command", "gateway"),
    "serve": Command("start a server on a built directory", "stream_omni.serving.serve", "server"),
    "drain": Command(
        "have a server leave its balancers and wait until it serves nobody", "stream_omni.serving.drain_command"
    ),
    "keys": Command("make, list and revoke a server's API keys", "stream_omni.serving.keys_command"),
    "fetch": Command("download the published checkpoints", "stream_omni_build.fetch.command"),
    "build": Command("make a built directory from a checkpoint", "stream_omni_build.main", "build"),
    "eval": Command("tell how good a served system is, on questions of yours", "stream_omni_eval.command", "eval"),
    "replay": Command("compare an installation with recorded cases", "stream_omni_build.replay_command", "build"),
    "record": Command("record such cases from a checkpoint", "stream_omni_build.record_command", "build"),
}
_OURS = ("stream_omni", "stream_omni_client", "stream_omni_build", "stream_omni_eval")


def main(argv: list[str] | None = None) -> int:
    """Run a command line (default: this process's). Returns the exit code: 2 for a line that cannot be run."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        print(end="", flush=True)
        return code
    except KeyboardInterrupt:
        return 130  # as a shell reports a program ended by Ctrl-C
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to be flushed goes nowhere
        return 141  # as a shell reports a program whose reader, such as head, has ended


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"stream-omni {_version()}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        print(f"stream-omni: there is no command {name!r}; see stream-omni --help", file=sys.stderr)
        return 2
    try:
        return _load(COMMANDS[name])(arguments[1:])
    except ModuleNotFoundError as error:
        extra = COMMANDS[name].extra
        missing = (error.name or "").partition(".")[0]
        if extra is None or missing in _OURS:
            raise
        print(
            f"stream-omni {name} needs {missing}, which the client's installation leaves out: "
            f'pip install "stream-omni[{extra}]"',
            file=sys.stderr,
        )
        return 2


def _load(command: Command) -> Callable[[list[str]], int]:
    run: Callable[[list[str]], int] = importlib.import_module(command.module).main
    return run


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: stream-omni COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "stream-omni COMMAND --help tells a command's options, stream-omni --version the version.",
            'talk needs pip install "stream-omni[microphone,play]", gateway needs "stream-omni[gateway]",',
            'serve needs "stream-omni[server]"; build, replay and record need "stream-omni[build]"; eval needs',
            '"stream-omni[eval]", and "stream-omni[server]" as well to serve what it judges.',
        ]
    )


def _version() -> str:
    try:
        return version("stream-omni")
    except PackageNotFoundError:
        return "(not installed: run from a source tree)"
