"""Who tells what the user said: the answer to it, for the model writes that down anyway; else a turn of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from stream_omni_client.errors import StreamOmniError
from stream_omni_client.events import TranscriptDelta
from stream_omni_client.gateway.api_errors import ApiError
from stream_omni_client.gateway.realtime.error_events import error_body
from stream_omni_client.gateway.realtime.items import Item, Speech
from stream_omni_client.gateway.realtime.outbox import Outbox
from stream_omni_client.gateway.realtime.turns import Turns

_UNANSWERED_S = 0.5  # so long an item may wait for its answer before it is transcribed by itself


class Transcripts:
    """Of one session's items. ``are_told``: whether events tell them to the client; history needs them anyway."""

    def __init__(self, turns: Turns, outbox: Outbox) -> None:
        self.are_told = True
        self._turns, self._outbox = turns, outbox
        self._claimed: set[str] = set()  # ids of items whose transcript somebody is writing
        self._pieces: dict[str, list[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()  # a session must not take many places of the server

    def expect(self, item: Item) -> None:
        """A new item, which its answer will claim at once, or nobody."""
        if item.speech is not None:
            self._begin(item, item.speech, _UNANSWERED_S)

    def claim(self, item: Item) -> bool:
        """Whether the caller shall tell this item's transcript, by :meth:`hear` and :meth:`finish`."""
        speech = item.speech
        if speech is None or speech.settled.is_set() or item.id in self._claimed:
            return False
        self._claimed.add(item.id)
        self._pieces[item.id] = []
        return True

    def hear(self, item: Item, delta: str) -> None:
        self._pieces[item.id].append(delta)
        if self.are_told and delta:
            kind = "conversation.item.input_audio_transcription.delta"
            self._outbox.put(kind, item_id=item.id, content_index=_place(item), delta=delta)

    def finish(self, item: Item) -> None:
        """All pieces were heard."""
        speech = item.speech
        if speech is None or speech.settled.is_set():
            return
        self._claimed.discard(item.id)
        speech.transcript = "".join(self._pieces.pop(item.id)).strip()
        speech.settled.set()
        if self.are_told:
            self._outbox.put(
                "conversation.item.input_audio_transcription.completed",
                item_id=item.id,
                content_index=_place(item),
                transcript=speech.transcript,
                usage={"type": "duration", "seconds": round(speech.duration_s, 3)},
            )

    def give_up(self, item: Item) -> None:
        """The one who has claimed it was stopped before the transcript was whole."""
        speech = item.speech
        if speech is not None and not speech.settled.is_set():
            self._claimed.discard(item.id)
            self._begin(item, speech, 0)

    async def settle(self, items: Iterable[Item]) -> None:
        """Until all of these have their transcript, or will never have one."""
        for item in items:
            speech = item.speech
            if speech is not None and not speech.settled.is_set():
                self._begin(item, speech, 0)
                await speech.settled.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, item: Item, speech: Speech, delay_s: float) -> None:
        task = asyncio.create_task(self._transcribe(item, speech, delay_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _transcribe(self, item: Item, speech: Speech, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        async with self._one_at_a_time:
            if speech.samples is None or not self.claim(item):
                return
            try:
                async with self._turns.transcript(speech.samples) as stream:
                    async for event in stream:
                        if isinstance(event, TranscriptDelta):
                            self.hear(item, event.delta)
                self.finish(item)
            except (ApiError, StreamOmniError) as error:
                self._fail(item, speech, error)

    def _fail(self, item: Item, speech: Speech, error: ApiError | StreamOmniError) -> None:
        self._claimed.discard(item.id)
        self._pieces.pop(item.id, None)
        speech.settled.set()
        if self.are_told:
            kind = "conversation.item.input_audio_transcription.failed"
            self._outbox.put(kind, item_id=item.id, content_index=_place(item), error=error_body(error))


def _place(item: Item) -> int:
    return next(n for n, part in enumerate(item.content) if isinstance(part, Speech))
