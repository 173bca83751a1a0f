"""``stream-omni completion``: scripts by which shells complete commands, options, choices and files."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stream_omni_client.command import COMMANDS
from stream_omni_client.command_help import command_parser

EXAMPLES = {
    "bash > ~/.local/share/bash-completion/completions/stream-omni": "bash: from the next shell on",
    'zsh > "${fpath[1]}/_stream-omni"': "zsh, whose compinit must be on",
    "fish > ~/.config/fish/completions/stream-omni.fish": "fish",
}


def main(argv: list[str]) -> int:
    """Print the script. Returns the exit code."""
    arguments = make_parser().parse_args(argv)
    print(_SHELLS[arguments.shell](list(_describe_all())))
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "completion",
        "Print a script that has your shell complete commands, options, choices and files. It holds the options of "
        "what is installed now: print it again after an update or another extra.",
        EXAMPLES,
    )
    parser.add_argument("shell", choices=tuple(_SHELLS))
    return parser


@dataclass(frozen=True)
class Argument:
    """``names`` are an option's; what stands without one has none."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    takes_file: bool
    choices: tuple[str, ...]


@dataclass
class Described:
    name: str
    help: str
    arguments: list[Argument] = field(default_factory=list)

    @property
    def options(self) -> list[Argument]:
        return [argument for argument in self.arguments if argument.names]

    @property
    def positional(self) -> list[Argument]:
        return [argument for argument in self.arguments if not argument.names]


def _describe_all() -> Iterator[Described]:
    for name, command in COMMANDS.items():
        try:
            parser = importlib.import_module(command.module).make_parser()
        except ModuleNotFoundError:  # of an extra that is not installed: there are no options to use either
            yield Described(name, command.help)
        else:
            yield Described(name, command.help, list(_arguments(parser)))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield Argument((), "", True, False, tuple(action.choices))
            for number, inner in enumerate(action.choices.values()):
                yield from (one for one in _arguments(inner) if number == 0 or "-h" not in one.names)
        else:
            help_text = "" if action.help is None else parser._get_formatter()._expand_help(action)
            choices = tuple(map(str, action.choices or ()))
            names = tuple(action.option_strings)
            yield Argument(names, " ".join(help_text.split()), action.nargs != 0, action.type is Path, choices)


def _bash(commands: list[Described]) -> str:
    values, words = [], []
    for command in commands:
        for option in command.options:
            if option.takes_value:
                pattern = "|".join(f"'{command.name} {name}'" for name in option.names)
                values.append(f"    {pattern}) {_bash_value(option)} ;;")
        names = " ".join(name for option in command.options for name in option.names)
        words.append(f"      '{command.name} -'*) _stream_omni_words '{names}' ;;")
        words += [f"      '{command.name} '*) {_bash_value(argument)} ;;" for argument in command.positional[:1]]
    names = " ".join(command.name for command in commands)
    return _lines(
        '_stream_omni_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current"); }',
        "_stream_omni_files() {",
        "  compopt -o filenames 2>/dev/null",
        '  mapfile -t COMPREPLY < <(compgen -f -- "$current")',
        "}",
        "_stream_omni() {",
        "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}",
        "  COMPREPLY=()",
        f"  if ((COMP_CWORD == 1)); then _stream_omni_words '{names}'; return; fi",
        '  case "$command $previous" in',
        *_unique(values),
        '    *) case "$command $current" in',
        *words,
        "    esac ;;",
        "  esac",
        "}",
        "complete -F _stream_omni stream-omni",
    )


def _bash_value(argument: Argument) -> str:
    if argument.choices:
        return f"_stream_omni_words '{' '.join(argument.choices)}'"
    return "_stream_omni_files" if argument.takes_file else ":"


def _zsh(commands: list[Described]) -> str:
    cases = []
    for command in commands:
        specs = [f"'{name}[{_zsh_text(o.help)}]{_zsh_value(o)}'" for o in command.options for name in o.names]
        specs += [f"'*{_zsh_value(argument)}'" for argument in command.positional[:1]]
        cases.append(f"    {command.name}) _arguments {' '.join(_unique(specs))} ;;")
    return _lines(
        "#compdef stream-omni",
        "local -a commands=(",
        *(f"  '{command.name}:{_zsh_text(command.help)}'" for command in commands),
        ")",
        "if ((CURRENT == 2)); then",
        "  _describe command commands",
        "else",
        "  shift words; ((CURRENT--))",
        "  case $words[1] in",
        *cases,
        "  esac",
        "fi",
    )


def _zsh_value(argument: Argument) -> str:
    if not argument.takes_value:
        return ""
    values = f"({' '.join(argument.choices)})" if argument.choices else "_files" if argument.takes_file else " "
    return f":value:{values}"


def _zsh_text(text: str) -> str:
    """As it can stand between brackets, in single quotes."""
    for special in "\\[]:":
        text = text.replace(special, f"\\{special}")
    return text.replace("'", "'\\''")


def _fish(commands: list[Described]) -> str:
    lines = ["complete -c stream-omni -f"]
    for command in commands:
        lines.append(
            f"complete -c stream-omni -n __fish_use_subcommand -a {command.name} -d {_fish_text(command.help)}"
        )
        here = f"complete -c stream-omni -n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            lines.append(f"{here} {names}{_fish_value(option)} -d {_fish_text(option.help)}")
        lines += [f"{here}{_fish_value(argument)}" for argument in command.positional]
    return _lines(*_unique(lines))


def _fish_value(argument: Argument) -> str:
    if not argument.takes_value:
        return ""
    required = " -r" if argument.names else ""
    if argument.choices:
        return f"{required} -f -a '{' '.join(argument.choices)}'"
    return f"{required} {'-F' if argument.takes_file else '-f'}"


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _unique(lines: Iterable[str]) -> list[str]:
    """Without repetitions, which the subcommands of a command make."""
    return list(dict.fromkeys(lines))


def _lines(*lines: str) -> str:
    return "\n".join(lines)


_SHELLS: dict[str, Callable[[list[Described]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
