"""``stream-omni drain``: before a server is stopped, have its balancers forget it, and wait until it serves nobody."""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any

_LOOK_S = 0.5
_ANSWER_S = 5.0
DESCRIPTION = """\
What a Kubernetes preStop hook runs. The server's /ready says 503 from now on, so that balancers send it no more turns,
while those that still come are let in: nobody is refused because the news has not reached everybody yet. When nobody
is served any more the command ends, and the server can be stopped.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the server serves nobody or has ended, 1 when turns still ran after the time, 2 when there is
    no such server."""
    arguments = make_parser().parse_args(argv)
    try:
        _call(arguments.admin, "/leave", "POST")
    except (OSError, HTTPException) as error:
        print(f"stream-omni drain: no admin port of `stream-omni serve` at {arguments.admin}: {error}", file=sys.stderr)
        return 2
    time.sleep(arguments.settle_s)
    turns = wait_until_idle(lambda: _turns(arguments.admin), arguments.turns_s)
    if turns:
        print(
            f"stream-omni drain: {turns} turns still run {arguments.settle_s + arguments.turns_s:g} s after the order "
            "to leave; a stop ends them after serve's --drain-timeout-s",
            file=sys.stderr,
        )
        return 1
    print(f"{arguments.admin} serves nobody")
    return 0


def wait_until_idle(turns: Callable[[], int | None], longest_s: float) -> int:
    """How many turns run and wait after at most ``longest_s``. None of ``turns``: the server does not say, look again;
    if it never does, that counts as one."""
    deadline_s = time.monotonic() + longest_s
    while (found := turns()) != 0 and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)
    return 1 if found is None else found


def _turns(admin: str) -> int | None:
    """None where the server's numbers cannot be had, 0 where it has ended."""
    try:
        status = _call(admin, "/status")
    except ConnectionRefusedError:
        return 0
    except (OSError, HTTPException, ValueError) as error:
        return 0 if isinstance(getattr(error, "reason", None), ConnectionRefusedError) else None
    turns = status["turns"]
    return None if turns is None else turns["running"] + turns["waiting"]


def _call(admin: str, path: str, method: str = "GET") -> Any:
    """Raises OSError, HTTPException, ValueError."""
    request = urllib.request.Request(f"http://{admin}{path}", method=method)
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310
        return json.load(answer)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni drain",
        description=DESCRIPTION,
        epilog="example:\n  stream-omni drain --admin 127.0.0.1:8003 --settle-s 10 --turns-s 305 && kill -TERM SERVER",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--admin", required=True, metavar="HOST:PORT", help="the admin port, as `stream-omni serve` prints it")
    add(
        "--settle-s",
        type=float,
        default=10.0,
        metavar="S",
        help="until every balancer knows: its checks' interval times the failures it wants (default: %(default)g)",
    )
    add(
        "--turns-s",
        type=float,
        default=305.0,
        metavar="S",
        help="after that, what running turns get: the longest turn of the profile (default: %(default)g)",
    )
    return parser
