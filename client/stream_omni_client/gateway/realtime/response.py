"""One response: a turn of the served model, from its question to ``response.done``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from stream_omni_client.errors import InvalidRequest
from stream_omni_client.events import AudioDelta, Done, Event, TextDelta, TranscriptDelta
from stream_omni_client.gateway.realtime.answer_events import AnswerEvents
from stream_omni_client.gateway.realtime.conversation import Conversation, Question, ask
from stream_omni_client.gateway.realtime.error_events import error_body
from stream_omni_client.gateway.realtime.items import Item, new_id
from stream_omni_client.gateway.realtime.limits import QuestionLimits
from stream_omni_client.gateway.realtime.outbox import Outbox
from stream_omni_client.gateway.realtime.session_settings import AnswerSettings
from stream_omni_client.gateway.realtime.transcripts import Transcripts
from stream_omni_client.gateway.realtime.turns import Turns

_DOES_NOT_FIT = "the context holds"  # in the server's refusal of a prompt that is too long
Status: TypeAlias = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]
CancelReason: TypeAlias = Literal["turn_detected", "client_cancelled"]


@dataclass(frozen=True)
class ResponseRequest:
    """``items``: what it sees. ``conversation`` None: an answer on the side, which becomes no item of it."""

    items: Sequence[Item]
    settings: AnswerSettings
    conversation: Conversation | None
    drops_oldest: bool
    metadata: Mapping[str, str] | None = None


class Response:
    """Its events go into the outbox until it is over, and none afterwards: :meth:`cancel` ends it at once, whatever its
    turn is doing. Raises ApiError where the items ask nothing."""

    def __init__(
        self,
        request: ResponseRequest,
        turns: Turns,
        transcripts: Transcripts,
        outbox: Outbox,
        limits: QuestionLimits,
        tell_over: Callable[[Response], None],
    ) -> None:
        self.id = new_id("resp")
        self.status: Status = "in_progress"
        self.reason: str | None = None  # of a status that is not completed
        self.first_sound_s: float | None = None  # since it began
        self._request, self._limits, self._tell_over = request, limits, tell_over
        self._turns, self._transcripts, self._outbox = turns, transcripts, outbox
        self._asked = self._ask().item
        self._tells_transcript = False
        self._events = AnswerEvents(self.id, request.settings, request.conversation, outbox)
        self._began_s = time.monotonic()
        outbox.put("response.created", response=self._describe())
        self._task = asyncio.create_task(self._run())

    @property
    def is_over(self) -> bool:
        return self.status != "in_progress"

    def cancel(self, reason: CancelReason) -> None:
        """End it, now; its turn on the server ends with it."""
        if not self.is_over:
            self._events.answer.bound_heard(time.monotonic(), is_whole=False)
            self._end("cancelled", {"type": "cancelled", "reason": reason})
            self._task.cancel()

    async def close(self) -> None:
        """The client has left: nothing is told any more. Until the turn has left the server as well."""
        self.cancel("client_cancelled")
        await asyncio.wait([self._task])

    def _ask(self) -> Question:
        return ask(self._request.items, self._request.settings.instructions, self._limits.max_pictures)

    async def _run(self) -> None:
        try:
            self._tells_transcript = self._transcripts.claim(self._asked)
            await self._transcripts.settle(item for item in self._request.items if item is not self._asked)
            done = await self._answer(self._ask())
            is_cut = done.finish_reason == "length"
            details = {"type": "incomplete", "reason": "max_output_tokens"} if is_cut else None
            self._end("incomplete" if is_cut else "completed", details, _usage(done.usage))
        except Exception as error:  # a turn's, mostly: StreamOmniError, or ApiError where the key has no place
            self._fail(error_body(error))
        finally:
            if self._tells_transcript:
                self._transcripts.give_up(self._asked)

    async def _answer(self, question: Question) -> Done:
        """Of a history that does not fit, the older half is left away until it does. Raises StreamOmniError."""
        history = question.history[-self._limits.max_history_turns :]
        while True:
            try:
                return await self._turn(question, history)
            except InvalidRequest as error:
                if not (self._request.drops_oldest and history and _DOES_NOT_FIT in str(error)):
                    raise
                history = history[(len(history) + 1) // 2 :]

    async def _turn(self, question: Question, history: list[dict[str, str]]) -> Done:
        settings = self._request.settings
        turn = self._turns.answer(
            question.text,
            question.samples,
            image=question.pictures or None,
            output="speech" if settings.is_spoken else "text",
            history=history,
            system=question.system,
            voice=settings.voice,
            max_tokens=settings.max_output_tokens,
        )
        async with turn as stream:
            async for event in stream:
                self._tell(event)
                await self._outbox.room()
                if isinstance(event, Done):
                    return event
        raise AssertionError("a stream without an error ends with Done")

    def _tell(self, event: Event) -> None:
        if isinstance(event, TranscriptDelta):
            if self._tells_transcript:
                self._transcripts.hear(self._asked, event.delta)
            return
        if self._tells_transcript:  # all of it comes before everything else
            self._transcripts.finish(self._asked)
        if not self._events.is_open:
            self._events.open(self._asked)
        if isinstance(event, TextDelta):
            self._events.add_text(event.delta)
        elif isinstance(event, AudioDelta):
            if self.first_sound_s is None:
                self.first_sound_s = time.monotonic() - self._began_s
            self._events.add_sound(event)
        else:
            self._events.finish_sound()

    def _fail(self, error: dict[str, Any]) -> None:
        """An event of its own tells it as well, for who listens to nothing but errors."""
        self._outbox.put("error", error=error)
        answer = self._events.answer
        if answer.is_spoken:
            answer.heard_ms = answer.sound_ms  # text that was ahead of it will never be spoken
        self._end("failed", {"type": "failed", "error": error})

    def _end(self, status: Status, details: dict[str, Any] | None, usage: dict[str, Any] | None = None) -> None:
        self.status = status
        if self._events.is_open:
            self._events.close("completed" if status == "completed" else "incomplete")
        self.reason = (details or {}).get("reason")
        self._outbox.put("response.done", response=self._describe(details, usage))
        self._tell_over(self)

    def _describe(self, details: dict[str, Any] | None = None, usage: dict[str, Any] | None = None) -> dict[str, Any]:
        settings = self._request.settings
        conversation = self._request.conversation
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": details,
            "output": [self._events.item.describe()] if self._events.is_open else [],
            "conversation_id": None if conversation is None else conversation.id,
            "output_modalities": settings.modalities,
            "max_output_tokens": settings.described_max_output_tokens,
            "audio": {"output": settings.describe_output()},
            "usage": usage,
            "metadata": None if self._request.metadata is None else dict(self._request.metadata),
        }


def _usage(counts: Mapping[str, int]) -> dict[str, Any]:
    """The server counts the prompt as a whole, in which a question's speech has its units."""
    prompt, heard = counts.get("prompt_tokens", 0), counts.get("question_units", 0)
    text, spoken = counts.get("text_tokens", 0), counts.get("speech_units", 0)
    return {
        "total_tokens": prompt + text + spoken,
        "input_tokens": prompt,
        "output_tokens": text + spoken,
        "input_token_details": {"text_tokens": prompt - heard, "audio_tokens": heard, "cached_tokens": 0},
        "output_token_details": {"text_tokens": text, "audio_tokens": spoken},
    }
