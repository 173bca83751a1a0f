"""Turns of the SDK on threads, with all that came of them."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any

from stream_omni_client import AudioDelta, StreamOmni, StreamOmniError, TextDelta

LONG: dict[str, Any] = {
    "text": "Tell me a tale",
    "output": "speech",
    "max_tokens": 300,
    "max_audio_ms": 40_000,
    "seed": 3,
}
SHORT: dict[str, Any] = {"text": "Hello", "output": "speech", "max_tokens": 8, "max_audio_ms": 400, "seed": 5}


@dataclass
class Turn:
    """Runs at once. ``error``: how it ended if not well; ``content``: a digest of all text and sound."""

    client: StreamOmni
    asked: dict[str, Any]
    error: StreamOmniError | None = None
    content: str = ""
    _heard: threading.Event = field(default_factory=threading.Event)
    _left: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for_an_event(self, timeout_s: float = 120) -> None:
        assert self._heard.wait(timeout_s), "nothing came"
        assert self.error is None, self.error

    def leave(self) -> None:
        """With the next event."""
        self._left = True

    def finish(self, timeout_s: float = 600) -> Turn:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the turn still runs"
        return self

    def _run(self) -> None:
        text, sound = hashlib.sha256(), hashlib.sha256()
        try:
            with self.client.stream(**self.asked) as stream:
                for event in stream:
                    if isinstance(event, TextDelta):
                        text.update(event.delta.encode())
                    elif isinstance(event, AudioDelta):
                        sound.update(event.samples.tobytes())
                    self._heard.set()
                    if self._left:
                        break
            self.content = text.hexdigest() + sound.hexdigest()
        except StreamOmniError as error:
            self.error = error
        self._heard.set()
