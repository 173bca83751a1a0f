"""What ``stream-omni COMMAND --help`` looks like: what it is for, the options, examples to copy, the exit codes."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping

from stream_omni_client.command_exit import EXIT_CODES_HELP

_WIDTH = 100


def command_parser(name: str, description: str, examples: Mapping[str, str]) -> argparse.ArgumentParser:
    """``examples``: what follows ``stream-omni NAME``, and what it does."""
    shown = "\n".join(f"  stream-omni {name} {line}".rstrip() + f"\n      {does}" for line, does in examples.items())
    return argparse.ArgumentParser(
        prog=f"stream-omni {name}",
        description=textwrap.fill(description, _WIDTH),
        epilog=f"examples:\n{shown}\n\n{textwrap.fill(EXIT_CODES_HELP, _WIDTH)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def positive(text: str) -> int:
    """An argument's type."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)
