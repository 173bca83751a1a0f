"""Users that ask one question after the other, as many as are wanted at the moment."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from stream_omni_client import Overloaded, StreamOmni, StreamOmniError

_ASKED: dict[str, Any] = {"text": "Tell me more", "output": "speech", "max_tokens": 60, "max_audio_ms": 8_000}
_BREATH_S = 0.05


@dataclass
class Users:
    """Used with ``with``, at most ``most`` at once. ``endings`` counts turns that are done, refused, or dropped (ended
    by an error); ``errors`` are those of the dropped."""

    url: str
    most: int
    wanted: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    _over: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Users:
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(self.most)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        """A refused user waits as long as he is told."""
        with StreamOmni(self.url, max_retries=0, first_event_timeout_s=300, idle_timeout_s=300) as client:
            while not self._over:
                wait_s = _BREATH_S
                if number < self.wanted:
                    wait_s = self._ask(client) or _BREATH_S
                time.sleep(min(wait_s, 1.0))

    def _ask(self, client: StreamOmni) -> float | None:
        """The hint of a refusal, in seconds."""
        ending, hint_s = "done", None
        try:
            client.chat(**_ASKED)
        except Overloaded as refusal:
            ending, hint_s = "refused", refusal.retry_after
        except StreamOmniError as error:
            ending = "dropped"
            self.errors.append(f"{type(error).__name__}: {error}")
        with self._lock:
            self.endings[ending] += 1
        return hint_s
