"""What a build says while it works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REPORT_EVERY_S = 5.0


class Progress:
    """One line when a step ends, with its time; more while it writes or reads much. ``say`` prints a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        began_s = time.monotonic()
        yield
        self.say(f"{what}: {time.monotonic() - began_s:.1f} s")

    def counter(self, what: str, total_bytes: int) -> Callable[[int], None]:
        """Takes what has been done since the last call; says how far that is every few seconds."""
        done_bytes = 0
        began_s = said_s = time.monotonic()

        def count(new_bytes: int) -> None:
            nonlocal done_bytes, said_s
            done_bytes += new_bytes
            if time.monotonic() - said_s >= REPORT_EVERY_S:
                said_s = time.monotonic()
                left_s = (said_s - began_s) * max(0, total_bytes / done_bytes - 1)
                self.say(f"  {what}: {done_bytes / 1e9:.1f} of {total_bytes / 1e9:.1f} GB, {_duration(left_s)} left")

        return count


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def silent() -> Progress:
    return Progress(lambda line: None)
