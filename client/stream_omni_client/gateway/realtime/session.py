"""One client's session: what its events do to its settings, its ear, its conversation and the answer that runs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.gateway import strict_json
from stream_omni_client.gateway.api_errors import ApiError, invalid, unsupported
from stream_omni_client.gateway.fields import Fields, fields_of
from stream_omni_client.gateway.realtime.conversation import Conversation
from stream_omni_client.gateway.realtime.error_events import error_body
from stream_omni_client.gateway.realtime.item_reader import decode_whole_samples, read_item
from stream_omni_client.gateway.realtime.items import Item, Speech, new_id
from stream_omni_client.gateway.realtime.limits import QuestionLimits, RealtimeLimits
from stream_omni_client.gateway.realtime.listener import Listener, milliseconds
from stream_omni_client.gateway.realtime.outbox import Outbox
from stream_omni_client.gateway.realtime.response import CancelReason, Response, ResponseRequest
from stream_omni_client.gateway.realtime.response_reader import read_response
from stream_omni_client.gateway.realtime.session_settings import SessionSettings
from stream_omni_client.gateway.realtime.transcripts import Transcripts
from stream_omni_client.gateway.realtime.turn_detector import SpeechStarted
from stream_omni_client.gateway.realtime.turns import Turns
from stream_omni_client.gateway.realtime.voice_activity import RATE_HZ, VoiceActivities

_MAX_EVENT_ID_CHARACTERS = 512
_ENVELOPE = {"type", "event_id"}


@dataclass(frozen=True)
class Served:
    """What the server behind has: the names that callers may give the model, its voices, its limits of a question; and
    a line and questions for the page to show."""

    models: Sequence[str]
    voices: Sequence[str]
    question: QuestionLimits
    notice: str | None
    examples: Sequence[str]


class Session:
    """Events come one after the other through :meth:`handle`; what they cause goes into the outbox, at once or while an
    answer is made. ``tell_over`` hears of each response that has ended, ``tell_refused`` of each event in vain."""

    def __init__(
        self,
        turns: Turns,
        outbox: Outbox,
        served: Served,
        limits: RealtimeLimits,
        activities: VoiceActivities,
        tell_over: Callable[[Response], None],
        tell_refused: Callable[[], None],
    ) -> None:
        self.id = new_id("sess")
        self._turns, self._outbox, self._served, self._limits = turns, outbox, served, limits
        self._tell_over, self._tell_refused = tell_over, tell_refused
        self._settings = SessionSettings()
        self._conversation = Conversation(limits.max_items)
        self._transcripts = Transcripts(turns, outbox)
        self._listener = Listener(activities, self._settings.input_format, self._settings.turn_detection)
        self._response: Response | None = None
        self._speech_item_id = ""  # of the item that the speech which goes on will become
        self._is_overfull = False  # told once, not for every piece that has no room
        self._expires_at = int(time.time() + limits.session_timeout_s)
        self._handlers: dict[str, tuple[Handler, set[str]]] = {
            "session.update": (self._update, {"session"}),
            "input_audio_buffer.append": (self._append, {"audio"}),
            "input_audio_buffer.commit": (self._commit_by_hand, set()),
            "input_audio_buffer.clear": (self._clear, set()),
            "conversation.item.create": (self._create_item, {"item", "previous_item_id"}),
            "conversation.item.delete": (self._delete_item, {"item_id"}),
            "conversation.item.truncate": (self._truncate, {"item_id", "content_index", "audio_end_ms"}),
            "response.create": (self._create_response, {"response"}),
            "response.cancel": (self._cancel_response, {"response_id"}),
        }
        outbox.put("session.created", session=self._describe())

    async def handle(self, text: str) -> None:
        """One event of the client, as it came. What is wrong with it becomes an ``error`` event."""
        event_id = None
        try:
            event = self._read(text)
            event_id = (event.text("event_id") or "")[:_MAX_EVENT_ID_CHARACTERS] or None
            kind = event.needed_text("type")
            if kind not in self._handlers:
                known = ", ".join(self._handlers)
                raise invalid(f"the event {kind[:64]!r} is not served; there are {known}", "type", "unknown_event")
            handler, names = self._handlers[kind]
            event.refuse_unknown(_ENVELOPE | names)
            await handler(event)
        except Exception as error:
            self._tell_refused()
            self._outbox.put("error", error=error_body(error, event_id))

    async def close(self) -> None:
        """The client has left: nothing goes on for it."""
        if self._response is not None:
            await self._response.close()
        await self._transcripts.close()
        self._listener.close()

    def _read(self, text: str) -> Fields:
        if len(text) > self._limits.max_message_bytes:
            limit = self._limits.max_message_bytes
            raise invalid(f"the event has {len(text)} bytes; the limit is {limit}", None, "event_too_large")
        try:
            value = strict_json.loads(text)
        except strict_json.HalfCharacterError as error:
            raise invalid(f"the event {error}", None, "invalid_json") from None
        except (ValueError, RecursionError):
            raise invalid("the event is not JSON", None, "invalid_json") from None
        if not isinstance(value, dict):
            raise invalid("the event is not a JSON object", None, "invalid_json")
        return Fields(value)

    # Settings

    async def _update(self, event: Fields) -> None:
        changes = fields_of(event.raw("session"), "session")
        self._settings = settings = self._settings.update(changes, self._served.voices, self._served.models)
        self._transcripts.are_told = settings.transcription is not None
        self._listener.set_up(settings.input_format, settings.turn_detection)
        self._outbox.put("session.updated", session=self._describe())

    def _describe(self) -> dict[str, Any]:
        """With fields of our own: ``voices``, the names that the voice may have, ``notice`` and ``examples``."""
        served = self._served
        standard = {
            "id": self.id,
            "object": "realtime.session",
            "expires_at": self._expires_at,
            "model": served.models[0],
        }
        return {
            **standard,
            "voices": served.voices,
            "notice": served.notice,
            "examples": served.examples,
            **self._settings.describe(),
        }

    # What is said to it

    async def _append(self, event: Fields) -> None:
        form = self._settings.input_format
        samples = self._listener.decode(decode_whole_samples(event.needed_text("audio"), "audio", form))
        is_detecting = self._settings.turn_detection is not None
        if not is_detecting and len(self._listener.buffer) + len(samples) > self._max_samples:
            self._refuse_more()
            return
        async for change in self._listener.hear(samples):
            if isinstance(change, SpeechStarted):
                self._speech_started()
            else:
                self._speech_stopped(change.at)
        while self._listener.is_speech and len(self._listener.buffer) >= self._max_samples:
            self._split()

    @property
    def _max_samples(self) -> int:
        return self._served.question.max_audio_ms * RATE_HZ // 1000

    def _refuse_more(self) -> None:
        if not self._is_overfull:
            self._is_overfull = True
            limit_s = self._served.question.max_audio_ms / 1000
            told = f"the buffer holds {limit_s:g} s at the most, and what came now was dropped; commit or clear it"
            raise invalid(told, "audio", "input_audio_buffer_full")

    def _speech_started(self) -> None:
        self._speech_item_id = new_id("item")
        start_ms = milliseconds(self._listener.buffer.begin)
        self._outbox.put("input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=self._speech_item_id)
        detection = self._settings.turn_detection
        if detection is None or not detection.interrupt_response:
            return
        self._cancel("turn_detected")
        last = self._conversation.last_answer()
        if last is not None and last.answer is not None:  # it may be over, and be played still
            last.answer.bound_heard(time.monotonic(), is_whole=True)

    def _speech_stopped(self, at: int) -> None:
        item_id = self._speech_item_id
        self._outbox.put("input_audio_buffer.speech_stopped", audio_end_ms=milliseconds(at), item_id=item_id)
        self._commit(self._listener.take(at), item_id)
        detection = self._settings.turn_detection
        if detection is not None and detection.create_response:
            try:
                self._respond(self._as_set_up())
            except ApiError as error:  # of no event of the client's own
                self._outbox.put("error", error=error_body(error))

    def _split(self) -> None:
        """Speech longer than a question may be: what there is becomes an item of its own, and the speech goes on."""
        begin = self._listener.buffer.begin
        self._commit(self._listener.take(begin + self._max_samples), self._speech_item_id)
        self._speech_item_id = new_id("item")

    async def _commit_by_hand(self, event: Fields) -> None:
        duration_ms, least_ms = milliseconds(len(self._listener.buffer)), self._served.question.min_audio_ms
        if duration_ms < least_ms:
            told = f"the buffer holds {duration_ms} ms of sound; at least {least_ms} ms are needed, append more"
            raise invalid(told, None, "input_audio_buffer_commit_empty")
        self._is_overfull = False
        item_id = self._speech_item_id if self._listener.is_speech else new_id("item")
        self._commit(self._listener.take(), item_id)

    def _commit(self, samples: NDArray[np.int16], item_id: str) -> None:
        item = Item("user", [Speech(samples)], item_id)
        self._conversation.add(item)
        previous = self._conversation.before(item)
        self._outbox.put("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        self._tell_new(item)

    async def _clear(self, event: Fields) -> None:
        self._listener.take()
        self._is_overfull = False
        self._outbox.put("input_audio_buffer.cleared")

    # The conversation

    async def _create_item(self, event: Fields) -> None:
        item = read_item(event.raw("item"), "item", self._settings.input_format, self._served.question)
        self._conversation.add(item, event.text("previous_item_id"))
        self._tell_new(item)

    def _tell_new(self, item: Item) -> None:
        previous = self._conversation.before(item)
        for kind in ("conversation.item.added", "conversation.item.done"):
            self._outbox.put(kind, previous_item_id=previous, item=item.describe())
        self._transcripts.expect(item)

    async def _delete_item(self, event: Fields) -> None:
        item_id = event.needed_text("item_id")
        self._conversation.remove(item_id)
        self._outbox.put("conversation.item.deleted", item_id=item_id)

    async def _truncate(self, event: Fields) -> None:
        item = self._conversation.find(event.needed_text("item_id"))
        answer = item.answer
        if answer is None or not answer.is_spoken:
            raise unsupported("item_id", "only what the assistant has spoken can be truncated")
        if event.integer("content_index", 0, 0) is None:
            raise event.missing("content_index")
        end_ms = event.integer("audio_end_ms", 0, answer.sound_ms)
        if end_ms is None:
            raise event.missing("audio_end_ms")
        answer.heard_ms = end_ms
        self._outbox.put(
            "conversation.item.truncated",
            item_id=item.id,
            content_index=0,
            audio_end_ms=end_ms,
            transcript=answer.heard,  # beside the standard fields: what later questions will know of it
        )

    # Answers

    async def _create_response(self, event: Fields) -> None:
        fields = event.fields("response") or Fields({}, "response.")
        served = self._served
        self._respond(read_response(fields, self._conversation, self._settings, served.voices, served.question))

    async def _cancel_response(self, event: Fields) -> None:
        response_id, running = event.text("response_id"), self._response
        if running is None or running.is_over or response_id not in (None, running.id):
            raise invalid("there is no such response that could be cancelled", None, "response_cancel_not_active")
        self._cancel("client_cancelled")

    def _as_set_up(self) -> ResponseRequest:
        settings, items = self._settings, tuple(self._conversation.items)
        return ResponseRequest(items, settings.answer, self._conversation, settings.drops_oldest)

    def _respond(self, request: ResponseRequest) -> None:
        if self._response is not None and not self._response.is_over:
            told = f"the response {self._response.id} is still being made; wait for its end, or cancel it"
            raise invalid(told, None, "conversation_already_has_active_response")
        self._response = Response(
            request, self._turns, self._transcripts, self._outbox, self._served.question, self._response_over
        )

    def _cancel(self, reason: CancelReason) -> None:
        if self._response is not None:
            self._response.cancel(reason)

    def _response_over(self, response: Response) -> None:
        self._conversation.forget_what_is_used(self._served.question.max_pictures)
        self._tell_over(response)


Handler: TypeAlias = Callable[[Fields], Awaitable[None]]
