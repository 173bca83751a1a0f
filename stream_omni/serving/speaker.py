"""The spoken side of a served turn: text ids to speech units to chunks for the vocoder, each as early as can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np

from stream_omni.answer import Answer
from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.session import Array
from stream_omni.serving.preparation import Reading
from stream_omni.serving.spans import know, part
from stream_omni.serving.stages import Stages
from stream_omni.speech_stream import AudioPiece, SpeechStream
from stream_omni.token2wav import speech_sizes


class Speaker:
    """``start``; then ``run`` as a task of its own, while ``say`` brings the text and ``chunks`` are fetched."""

    def __init__(
        self,
        stages: Stages,
        assets: Assets,
        number: int,
        answer: Answer,
        effective: Mapping[str, Any],
        schedule: ChunkSchedule,
        timeout_s: float,
    ) -> None:
        self._stages, self._number, self._answer, self._timeout_s = stages, number, answer, timeout_s
        self._text_in = effective["mode"] == "text_to_speech"
        flow, _ = speech_sizes(assets.info)
        self._max_units = max(1, effective["max_audio_ms"] * flow.unit_rate_hz // 1000)
        self._speech = SpeechStream(assets.info, assets.speaker(effective["voice"]), effective["seed"], schedule)
        self._unsaid: list[int] = []  # text ids that the speech stacks have not been given
        self._final = False
        self._more_text = asyncio.Event()
        self._more_units = asyncio.Event()

    async def start(self, reading: Reading) -> None:
        """Take a slot of ``speech_top``."""
        inputs = {
            "hidden": reading.hidden,
            "keys_values": reading.keys_values,
            "text_in": np.array([self._text_in]),
            "max_units": np.array([self._max_units], np.int32),
            "shared_tokens": np.array([reading.shared_tokens], np.int32),
        }
        await self._stages.speech_top.start(self._number, inputs)

    def say(self, ids: Sequence[int], final: bool) -> None:
        """More text; ``final`` when no more will come."""
        self._unsaid += ids
        self._final |= final
        self._more_text.set()

    async def run(self) -> None:
        """Until all units are known."""
        with part("speech"):
            async with asyncio.TaskGroup() as group:
                feeding = group.create_task(self._feed())
                await self._collect_units()
                feeding.cancel()  # a limit may have ended the speech before the text
            know(finish=self._answer.audio_finish)

    async def chunks(self) -> AsyncIterator[dict[str, Array]]:
        """Each chunk's tensors (:mod:`stream_omni.speech_chunks`); :meth:`accept` its outputs before the next."""
        while not self._speech.done:
            chunk = self._speech.next_chunk()
            if chunk is not None:
                yield chunk
            else:
                await self._more_units.wait()
                self._more_units.clear()

    def accept(self, outputs: Mapping[str, Array]) -> AudioPiece:
        return self._speech.accept(outputs)

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
