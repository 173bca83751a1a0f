"""An answer as it is made, told as an item with one part: its text, or its sound with the text of it."""

from __future__ import annotations

import base64
import time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.events import AudioDelta
from stream_omni_client.gateway.realtime.conversation import Conversation
from stream_omni_client.gateway.realtime.items import Answer, Item
from stream_omni_client.gateway.realtime.outbox import Outbox
from stream_omni_client.gateway.realtime.session_settings import AnswerSettings
from stream_omni_client.gateway.resampling import Resampler


class AnswerEvents:
    """Of one response. ``conversation`` None: it joins none."""

    def __init__(
        self, response_id: str, settings: AnswerSettings, conversation: Conversation | None, outbox: Outbox
    ) -> None:
        self.answer = Answer(settings.is_spoken)
        self.item = Item("assistant", [self.answer], status="in_progress")
        self.is_open = False
        self._settings, self._conversation, self._outbox = settings, conversation, outbox
        self._of_item = {"response_id": response_id, "output_index": 0}
        self._of_part = {**self._of_item, "item_id": self.item.id, "content_index": 0}
        self._text_event = "response.output_audio_transcript" if settings.is_spoken else "response.output_text"
        self._resampler: Resampler | None = None
        self._sent_samples = 0

    def open(self, asked: Item) -> None:
        """The answer begins, behind the item that it answers."""
        self.is_open = True
        self._outbox.put("response.output_item.added", **self._of_item, item=self.item.describe(with_content=False))
        if self._conversation is not None:
            behind = asked.id if asked in self._conversation.items else None
            self._conversation.add(self.item, behind)
            self._tell_conversation("conversation.item.added", with_content=False)
        self._outbox.put("response.content_part.added", **self._of_part, part=self._part())

    def add_text(self, delta: str) -> None:
        self.answer.text += delta
        if delta:
            self._outbox.put(f"{self._text_event}.delta", **self._of_part, delta=delta)

    def add_sound(self, event: AudioDelta) -> None:
        """With ``marks`` and ``start_ms`` beside the standard fields: what begins to be spoken when."""
        if self._resampler is None:
            self._resampler = Resampler(event.sample_rate_hz, self._settings.output_format.rate_hz)
            self.answer.first_sound_s = time.monotonic()
        self.answer.marks.extend(event.marks)
        self._send(self._resampler.add(event.samples), [list(mark) for mark in event.marks])

    def finish_sound(self) -> None:
        """No more comes: what the resampler still holds."""
        if self._resampler is not None:
            self._send(self._resampler.finish(), [])

    def close(self, status: Literal["completed", "incomplete"]) -> None:
        """The answer is over, ``completed`` where it is whole."""
        self.item.status = status
        if self.answer.is_spoken:
            self._outbox.put("response.output_audio.done", **self._of_part)
            self._outbox.put(f"{self._text_event}.done", **self._of_part, transcript=self.answer.text)
        else:
            self._outbox.put(f"{self._text_event}.done", **self._of_part, text=self.answer.text)
        self._outbox.put("response.content_part.done", **self._of_part, part=self._part())
        self._outbox.put("response.output_item.done", **self._of_item, item=self.item.describe())
        if self._conversation is not None and self.item in self._conversation.items:
            self._tell_conversation("conversation.item.done", with_content=True)

    def _send(self, samples: NDArray[np.int16], marks: list[list[int]]) -> None:
        if not len(samples) and not marks:
            return
        form = self._settings.output_format
        start_ms = self._sent_samples * 1000 // form.rate_hz
        self._sent_samples += len(samples)
        self.answer.sound_ms = -(-self._sent_samples * 1000 // form.rate_hz)
        delta = base64.b64encode(form.encode(samples)).decode()
        fields = {**self._of_part, "delta": delta, "start_ms": start_ms, "marks": marks}
        self._outbox.put("response.output_audio.delta", **fields)

    def _part(self) -> dict[str, Any]:
        if self.answer.is_spoken:
            return {"type": "audio", "transcript": self.answer.text}
        return {"type": "text", "text": self.answer.text}

    def _tell_conversation(self, kind: str, with_content: bool) -> None:
        assert self._conversation is not None
        previous = self._conversation.before(self.item)
        self._outbox.put(kind, previous_item_id=previous, item=self.item.describe(with_content))
