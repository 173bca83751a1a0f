"""The Enter key, while something else goes on."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Keyboard:
    """Reads the standard input line by line in a thread of its own."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._handler: Callable[[], object] | None = None
        self._handling = threading.Lock()
        threading.Thread(target=self._read, daemon=True, name="keyboard").start()

    def wait(self) -> str | None:
        """The next line, without its end; None at the end of the input."""
        return self._lines.get()

    @contextmanager
    def on_enter(self, handler: Callable[[], object]) -> Iterator[None]:
        """Within the block, Enter calls ``handler``, in the keyboard's thread, instead of ending a :meth:`wait`. The
        block ends when a handler that runs has ended."""
        self._handler = handler
        try:
            yield
        finally:
            with self._handling:
                self._handler = None

    def _read(self) -> None:
        rest = b""
        # Not through sys.stdin: a thread that waits in it holds a lock that the interpreter's end needs.
        while part := os.read(sys.stdin.fileno(), 4096):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if not self._is_handled(line):
                    self._lines.put(line.decode(errors="replace").strip())
        self._lines.put(None)

    def _is_handled(self, line: bytes) -> bool:
        with self._handling:
            if self._handler is None or line.strip():
                return False
            self._handler()
            return True
