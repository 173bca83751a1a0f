"""The whole of a turn's answer, collected from its events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stream_omni_client.audio import Audio
from stream_omni_client.events import AudioDelta, Done, Event, FinishReason, Mark, TextDelta, Timings, TranscriptDelta


class Reply:
    """What a turn has brought so far; everything once :attr:`done` is there.

    ``transcript_deltas``, ``text_deltas`` and ``audio_deltas`` are the pieces as they came. ``heard_ms`` is where the
    listener stopped the speech, None where nobody did.
    """

    def __init__(self, request_id: str, is_spoken: bool = False) -> None:
        self.request_id = request_id
        self.done: Done | None = None
        self.transcript_deltas: list[str] = []
        self.text_deltas: list[str] = []
        self.audio_deltas: list[AudioDelta] = []
        self.heard_ms: float | None = None
        self._is_spoken = is_spoken
        self._seen_ms: dict[str, float] = {}

    @property
    def transcript(self) -> str:
        """What the user said; "" for a written question."""
        return "".join(self.transcript_deltas)

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self.text_deltas)

    @property
    def audio(self) -> Audio | None:
        """The answer's speech; None where none was made."""
        if not self.audio_deltas:
            return None
        samples = np.concatenate([piece.samples for piece in self.audio_deltas])
        return Audio(samples, self.audio_deltas[0].sample_rate_hz)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Which characters of the text begin to be spoken when."""
        return tuple(mark for piece in self.audio_deltas for mark in piece.marks)

    @property
    def spoken_ms(self) -> float:
        """How long the speech is."""
        return 1000 * sum(len(piece.samples) / piece.sample_rate_hz for piece in self.audio_deltas)

    @property
    def heard(self) -> str:
        """The part of the text that was heard: what :meth:`text_until` says of ``heard_ms``."""
        return self.text_until(self.heard_ms)

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

    def text_until(self, heard_ms: float | None = None) -> str:
        """The part of the text whose speaking has begun before ``heard_ms`` of the speech; None: within all of the
        speech that has come. Of an answer without speech that is all of its text."""
        if not self._is_spoken:
            return self.text
        if heard_ms is None or heard_ms >= self.spoken_ms:
            if self.done and self.done.audio_finish == "stop":
                return self.text  # with what has no sound of its own at its end
            heard_ms = self.spoken_ms
        end = max((mark.text_end for mark in self.marks if mark.start_ms < heard_ms), default=0)
        return self.text[:end]

    def add(self, event: Event) -> None:
        """Take the next event of the stream."""
        now_ms = event.elapsed_s * 1000
        if isinstance(event, TranscriptDelta):
            self.transcript_deltas.append(event.delta)
            self._seen_ms.setdefault("first_transcript_ms", now_ms)
        elif isinstance(event, TextDelta):
            self.text_deltas.append(event.delta)
            self._seen_ms.setdefault("first_text_ms", now_ms)
        elif isinstance(event, AudioDelta):
            self.audio_deltas.append(event)
            self._seen_ms.setdefault("first_audio_ms", now_ms)
        else:
            self.done = event
            self._seen_ms["total_ms"] = now_ms
