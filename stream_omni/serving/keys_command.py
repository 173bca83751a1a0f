"""``stream-omni keys``: makes, lists and revokes the API keys of a server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stream_omni.serving.api_keys import KeyFileError, make_key, read_keys, write_keys


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with a sentence on stderr."""
    arguments = make_parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (KeyFileError, OSError) as error:
        print(f"stream-omni keys: {error}", file=sys.stderr)
        return 1
    return 0


def _make(arguments: argparse.Namespace) -> None:
    old = read_keys(arguments.file) if arguments.file.exists() else ()
    key, stored = make_key(arguments.name, arguments.turns, arguments.waiting)
    namesakes = [other for other in old if other.name == stored.name]
    if any(other.holder != stored.holder for other in namesakes):
        raise KeyFileError(f"{stored.name} has a key with another quota, which its keys share; revoke that one first")
    write_keys(arguments.file, [*old, stored])
    print(key)
    print(f"key {stored.short} of {stored.name}: give it away now, it is not kept anywhere", file=sys.stderr)
    for other in namesakes:
        print(f"when nobody uses the older one: stream-omni keys revoke {other.short}", file=sys.stderr)


def _list(arguments: argparse.Namespace) -> None:
    print(f"{'key':<10}{'created':<28}{'turns':>6}{'waiting':>9}  name")
    for key in read_keys(arguments.file):
        turns, waiting = ("-", "-") if key.turns is None else (key.turns, key.waiting)
        print(f"{key.short:<10}{key.created:<28}{turns:>6}{waiting:>9}  {key.name}")


def _revoke(arguments: argparse.Namespace) -> None:
    keys = read_keys(arguments.file)
    left = [key for key in keys if key.short != arguments.key]
    if len(left) == len(keys):
        raise KeyFileError(f"there is no key {arguments.key}; `stream-omni keys list` has their first column")
    write_keys(arguments.file, left)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni keys",
        description="Keep the API keys of a server: a file of names, quotas and hashes, from which no key can be told.",
        epilog="A running server (stream-omni serve --api-keys FILE) goes by the file as it is at each request. To "
        "rotate a key: make a second one of the same name, hand it out, revoke the first. Clients take it from "
        "STREAM_OMNI_API_KEY, or send the header `authorization: Bearer KEY`.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    make = commands.add_parser("make", help="make a key, print it once, and add its hash to the file")
    make.add_argument("--name", required=True, help="whose it is; stands in the log lines of its turns")
    make.add_argument("--turns", type=int, metavar="N", help="at once, of all keys of this name (default: no quota)")
    make.add_argument("--waiting", type=int, default=0, metavar="N", help="beyond these; others are refused at once")
    make.set_defaults(run=_make)
    listed = commands.add_parser("list", help="list names, quotas and when each key was made")
    listed.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="take a key out of the file")
    revoke.add_argument("key", help="as in the first column of the list")
    revoke.set_defaults(run=_revoke)
    for command in (make, listed, revoke):
        command.add_argument("--file", type=Path, default=Path("api-keys.json"), metavar="FILE", help="%(default)s")
    return parser
