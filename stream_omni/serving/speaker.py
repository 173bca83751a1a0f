"""The spoken side of a served turn: text ids to units to sound, each as early as it can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from stream_omni.answer import Answer, Event
from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.session import Array
from stream_omni.serving.request import TurnRequest
from stream_omni.serving.stages import Stages
from stream_omni.speech_stream import SpeechStream
from stream_omni.token2wav import speech_sizes


class Speaker:
    """``start``, then ``run`` to the end of the speech while ``say`` brings the text."""

    def __init__(
        self,
        stages: Stages,
        assets: Assets,
        number: int,
        request: TurnRequest,
        answer: Answer,
        send: Callable[[Event], None],
        schedule: ChunkSchedule,
        timeout_s: float,
    ) -> None:
        self._stages, self._assets, self._number, self._request = stages, assets, number, request
        self._answer, self._send, self._timeout_s = answer, send, timeout_s
        self._speech = SpeechStream(assets.info, assets.speaker(request.voice), request.seed, schedule)
        self._unsaid: list[int] = []  # text ids that the speech stacks have not been given
        self._final = False
        self._more_text = asyncio.Event()
        self._more_units = asyncio.Event()

    async def start(self, hidden: Array, keys_values: Array) -> None:
        """Take a slot of ``speech_top``; the arrays are those of :class:`stream_omni.speech_prompt.SpeechPrompt`."""
        flow, _ = speech_sizes(self._assets.info)
        max_units = max(1, self._request.max_audio_ms * flow.unit_rate_hz // 1000)
        await self._stages.speech_top.start(
            self._number,
            {
                "hidden": hidden,
                "keys_values": keys_values,
                "text_in": np.array([self._request.audio is None]),
                "max_units": np.array([max_units], np.int32),
            },
        )

    def say(self, ids: Sequence[int], final: bool) -> None:
        """More text; ``final`` when no more will come."""
        self._unsaid += ids
        self._final |= final
        self._more_text.set()

    async def run(self) -> None:
        """Until all of the speech has been sent."""
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feed())
            group.create_task(self._voice())
            await self._collect_units()
            feeding.cancel()  # a limit may have ended the speech before the text

    async def _feed(self) -> None:
        """What comes while an append is under way goes with the next one."""
        final = False
        while not final:
            await self._more_text.wait()
            self._more_text.clear()
            ids, self._unsaid, final = self._unsaid, [], self._final
            await self._stages.speech_top.append(self._number, ids, final)

    async def _collect_units(self) -> None:
        async for event in self._stages.speech_top.events(self._number, self._timeout_s):
            self._speech.append(self._answer.add_speech(event.ids, event.counts))
            if event.finish == "stop" or event.finish == "length":
                self._answer.audio_finish = event.finish
                self._speech.finish()
            self._more_units.set()

    async def _voice(self) -> None:
        """One chunk at a time: the next one needs what this one leaves."""
        while not self._speech.done:
            chunk = self._speech.next_chunk()
            if chunk is None:
                await self._more_units.wait()
                self._more_units.clear()
                continue
            piece = self._speech.accept(await self._stages.token2wav(chunk, self._timeout_s))
            self._send(self._answer.add_audio(piece))
