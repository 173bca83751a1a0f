"""Looks at something again and again while something else is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

Seen = TypeVar("Seen")


class Watch(Generic[Seen]):
    """While used with ``with``: ``samples`` are (seconds since the start, what ``look`` returned)."""

    def __init__(self, look: Callable[[], Seen], period_s: float = 1.0) -> None:
        self.samples: list[tuple[float, Seen]] = []
        self._look, self._period_s = look, period_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch[Seen]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        began_s = time.monotonic()
        while not self._over.is_set():
            self.samples.append((time.monotonic() - began_s, self._look()))
            self._over.wait(self._period_s)
