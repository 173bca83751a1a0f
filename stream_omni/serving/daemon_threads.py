"""Threads for work that blocks, as many as there is such work at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class DaemonThreads:
    """Not a ThreadPoolExecutor: that one has a limit, at which waiting work would starve other work, and joins its
    threads at exit, while a call to a process that died may never return. ``work`` must not raise."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0

    def submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._serve, daemon=True, name=self._name).start()
        self._work.put(work)

    def _serve(self) -> None:
        while True:
            self._work.get()()
            with self._lock:
                self._idle += 1
