"""One answer in the making: the LLM's text ahead, speech following it, each event told as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stream_omni.answer import Answer, Event
from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.serving.preparation import Asking, Reading
from stream_omni.serving.request_id import CURRENT
from stream_omni.serving.spans import know, part
from stream_omni.serving.speaker import Speaker
from stream_omni.serving.stages import Stages


class Answering:
    """``effective`` are the parameters as used (see Preparation), ``number`` the turn's, ``tell`` takes the events."""

    def __init__(
        self,
        stages: Stages,
        assets: Assets,
        number: int,
        effective: Mapping[str, Any],
        began_s: float,
        tell: Callable[[Event], None],
        timeout_s: float,
    ) -> None:
        self._stages, self._assets, self._number, self._effective = stages, assets, number, effective
        self._tell, self._timeout_s = tell, timeout_s
        self.answer = Answer(assets.info, assets.tokenizer, assets.speakable, effective, began_s)
        self.answer.request_id = CURRENT.get()
        self._speaker: Speaker | None = None

    def tell_transcript(self, ids: list[int]) -> None:
        self._tell(self.answer.add_transcript(ids))

    async def start_speech(self, reading: Reading, schedule: ChunkSchedule) -> Speaker:
        """Take a slot for speech; what :meth:`write` or :meth:`read_aloud` say is spoken from now on."""
        effective = self._effective
        self._speaker = Speaker(
            self._stages, self._assets, self._number, self.answer, effective, schedule, self._timeout_s
        )
        await self._speaker.start(reading)
        return self._speaker

    async def write(self, asking: Asking) -> None:
        """Ask the LLM, and tell its text to the end."""
        with part("text"):
            await self._write(asking)
            know(tokens=self.answer.usage["text_tokens"], finish=self.answer.text_finish)

    async def _write(self, asking: Asking) -> None:
        vocabulary, effective = self._assets.info.vocabulary, self._effective
        # in the speech loop only end-of-turn ends the text
        stop_ids = vocabulary.eos if self._speaker is None else (vocabulary.eot,)
        await self._stages.llm.start(
            self._number,
            {
                "ids": asking.ids,
                "embeds": asking.embeds,
                "shared_tokens": np.array([asking.shared_tokens], np.int32),
                "max_tokens": np.array([effective["max_tokens"]], np.int32),
                "stop_ids": np.array(stop_ids, np.int64),
                "temperature": np.array([effective["temperature"]], np.float32),
                "top_p": np.array([effective["top_p"]], np.float32),
                "seed": np.array([effective["seed"]], np.uint64),
            },
        )
        async for event in self._stages.llm.events(self._number, self._timeout_s):
            self._tell_text(event.ids)
            if event.finish == "stop" or event.finish == "length":
                self._tell_some(self.answer.finish_text(event.finish))
            if self._speaker is not None:
                # text that was cut has no end-of-turn of its own, and speech would wait for it for ever
                end = [vocabulary.eot] if event.finish == "length" else []
                self._speaker.say([*event.ids, *end], final=event.finish is not None)

    def read_aloud(self, ids: Sequence[int]) -> None:
        """``ids`` take the place of the LLM's."""
        assert self._speaker is not None
        self._tell_text(ids)
        self._tell_some(self.answer.finish_text("stop"))
        self._speaker.say([*ids, self._assets.info.vocabulary.eot], final=True)

    def _tell_text(self, ids: Sequence[int]) -> None:
        self._tell_some(self.answer.add_text(ids))

    def _tell_some(self, event: Event | None) -> None:
        if event is not None:
            self._tell(event)
