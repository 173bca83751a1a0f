"""A streamed turn: from the request's tensors to the protocol's events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from stream_omni.answer import Event
from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.session import Array
from stream_omni.serving.answering import Answering
from stream_omni.serving.driver import Send
from stream_omni.serving.limits import Limits
from stream_omni.serving.preparation import Preparation, Reading
from stream_omni.serving.request import read_request
from stream_omni.serving.spans import part
from stream_omni.serving.speaker import Speaker
from stream_omni.serving.stages import Stages
from stream_omni.serving.turn_meter import TurnMeter


@dataclass(frozen=True)
class TurnDriver:
    """``stage_timeout_s`` bounds each stage call, and the silence between two events of an engine."""

    assets: Assets
    limits: Limits
    schedule: ChunkSchedule
    stage_timeout_s: float

    async def drive(
        self,
        stages: Stages,
        number: int,
        inputs: Mapping[str, Array],
        began_s: float,
        send: Send,
        meter: TurnMeter,
    ) -> None:
        """Answer one request. Raises TurnError; releasing the stages is left to the caller."""

        def tell(event: Event) -> None:
            meter.hear(event)
            send(event.tensors(), event.kind == "done")

        await self.answer(stages, number, inputs, began_s, tell, meter.know, meter.reach)

    async def answer(
        self,
        stages: Stages,
        number: int,
        inputs: Mapping[str, Array],
        began_s: float,
        tell: Callable[[Event], None],
        know: Callable[[str], None] = lambda mode: None,
        reach: Callable[[str], None] = lambda part: None,
    ) -> None:
        """The same, told as events; ``know`` is told the mode as soon as the request has been read, and ``reach`` what
        the first sound has waited for so far (FIRST_AUDIO_PARTS of the metrics)."""
        read = partial(read_request, inputs, self.assets, self.limits)
        with part("read_request"):
            request = await stages.calls.run(read, "stream_omni", self.stage_timeout_s)
        know(request.mode)
        preparation = Preparation(stages, self.assets, self.limits, request, self.stage_timeout_s, reach)
        turn = (self.assets, number, preparation.effective, began_s)
        answering = Answering(stages, *turn, tell, self.stage_timeout_s)
        async with asyncio.TaskGroup() as group:

            async def begin(reading: Reading) -> None:
                reach("speech_bottom")
                if reading.transcript is not None:
                    answering.tell_transcript(reading.transcript)
                if request.output == "speech":
                    speaker = await answering.start_speech(reading, self.schedule)
                    reach("speech_top")
                    group.create_task(speaker.run())
                    group.create_task(self._voice(stages, speaker, answering, tell, reach))

            asking = await preparation.prepare(begin)
            reach("vision_encoder" if request.pictures else "request")
            answering.answer.usage.update(preparation.usage)
            if request.task == "speak":
                answering.read_aloud(await preparation.spoken_ids())
            elif request.task == "answer":
                await answering.write(asking)
        tell(answering.answer.done())

    async def _voice(
        self,
        stages: Stages,
        speaker: Speaker,
        answering: Answering,
        tell: Callable[[Event], None],
        reach: Callable[[str], None],
    ) -> None:
        """One chunk after the other: the next one needs what this one leaves."""
        async for chunk in speaker.chunks():
            reach("speech_top")
            piece = speaker.accept(await stages.token2wav(chunk, self.stage_timeout_s))
            tell(answering.answer.add_audio(piece))
