"""The whole of a turn's answer, collected from its events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stream_omni_client.audio import Audio
from stream_omni_client.events import AudioDelta, Done, Event, FinishReason, TextDelta, Timings, TranscriptDelta


class Reply:
    """What a turn has brought so far; everything once :attr:`done` is there."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.done: Done | None = None
        self._transcript: list[str] = []
        self._text: list[str] = []
        self._audio: list[AudioDelta] = []
        self._seen_ms: dict[str, float] = {}

    @property
    def transcript(self) -> str:
        """What the user said; "" for a written question."""
        return "".join(self._transcript)

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self._text)

    @property
    def audio(self) -> Audio | None:
        """The answer's speech; None where none was made."""
        if not self._audio:
            return None
        return Audio(np.concatenate([piece.samples for piece in self._audio]), self._audio[0].sample_rate_hz)

    @property
    def finish_reason(self) -> FinishReason | None:
        """``stop``, or ``length`` where a limit cut the answer; None before the end."""
        return self.done.finish_reason if self.done else None

    @property
    def usage(self) -> Mapping[str, int]:
        """Counts of tokens, by name; empty before the end."""
        return self.done.usage if self.done else {}

    @property
    def timings(self) -> Timings:
        """When the server had the first piece of each kind, and the whole; empty before the end."""
        return self.done.timings if self.done else Timings()

    @property
    def client_timings(self) -> Timings:
        """The same points as :attr:`timings`, as seen here: with network and client."""
        return Timings(**self._seen_ms)

    def add(self, event: Event) -> None:
        """Take the next event of the stream."""
        now_ms = event.elapsed_s * 1000
        if isinstance(event, TranscriptDelta):
            self._transcript.append(event.delta)
            self._seen_ms.setdefault("first_transcript_ms", now_ms)
        elif isinstance(event, TextDelta):
            self._text.append(event.delta)
            self._seen_ms.setdefault("first_text_ms", now_ms)
        elif isinstance(event, AudioDelta):
            self._audio.append(event)
            self._seen_ms.setdefault("first_audio_ms", now_ms)
        else:
            self.done = event
            self._seen_ms["total_ms"] = now_ms
