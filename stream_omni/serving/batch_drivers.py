"""The two Python steps of the ensemble ``turn``, for who wants a whole turn in one unary call.

``prepare`` looks and listens; ``answer`` thinks and speaks, all of the sound as one chunk. What ``prepare`` hands over
is sealed: anybody may call a step of an ensemble by itself, and ``answer`` checks no tensors again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from stream_omni.answer import Answer, Event
from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.session import Array
from stream_omni.serving.answering import Answering
from stream_omni.serving.drain_notice import DrainNotice
from stream_omni.serving.driver import Send
from stream_omni.serving.errors import UnauthenticatedError
from stream_omni.serving.limits import Limits
from stream_omni.serving.preparation import Asking, Preparation, Reading
from stream_omni.serving.request import read_request
from stream_omni.serving.request_id import CURRENT
from stream_omni.serving.spans import part
from stream_omni.serving.stage_secret import StageSecret
from stream_omni.serving.stages import Stages
from stream_omni.serving.turn_meter import TurnMeter
from stream_omni.speech_stream import AudioPiece

_WHOLE = ChunkSchedule(first_units=1_000_000, largest_units=1_000_000)  # one chunk, at the end


@dataclass(frozen=True)
class PrepareDriver:
    """Makes ``turn`` (JSON) and the tensors that the engines start from; see the model's configuration."""

    assets: Assets
    limits: Limits
    stage_timeout_s: float
    secret: StageSecret

    async def drive(
        self,
        stages: Stages,
        number: int,
        inputs: Mapping[str, Array],
        began_s: float,
        send: Send,
        meter: TurnMeter,
    ) -> None:
        read = partial(read_request, inputs, self.assets, self.limits)
        with part("read_request"):
            request = await stages.calls.run(read, "prepare", self.stage_timeout_s)
        meter.know(request.mode)
        preparation = Preparation(stages, self.assets, self.limits, request, self.stage_timeout_s)
        readings: list[Reading] = []

        async def keep(reading: Reading) -> None:
            readings.append(reading)

        asking = await preparation.prepare(keep)
        if request.task == "speak":
            asking = asking._replace(ids=np.array(await preparation.spoken_ids(), np.int64))
        (reading,) = readings
        turn = {
            "effective": preparation.effective,
            "usage": preparation.usage,
            "transcript": reading.transcript,
            "shared_tokens": {"text": asking.shared_tokens, "speech": reading.shared_tokens},
            "request_id": CURRENT.get(),
            "traceparent": meter.traceparent,
            "began_s": began_s,  # of a clock that all processes of a machine share
            "made_s": time.monotonic(),
        }
        outputs = {
            "turn": np.array([json.dumps(turn).encode()], object),
            "prompt_ids": asking.ids,
            "prompt_embeds": asking.embeds,
            "hidden": reading.hidden,
            "keys_values": reading.keys_values,
        }
        send({**outputs, "seal": np.array([self.secret.seal(outputs).encode()], object)}, True)


@dataclass(frozen=True)
class AnswerDriver:
    """Makes the answer; ``sound_timeout_s`` bounds the making of all of its sound at once: the time of a turn."""

    assets: Assets
    stage_timeout_s: float
    sound_timeout_s: float
    secret: StageSecret
    notice: DrainNotice = field(default_factory=DrainNotice.of_environment)

    async def drive(
        self,
        stages: Stages,
        number: int,
        inputs: Mapping[str, Array],
        began_s: float,
        send: Send,
        meter: TurnMeter,
    ) -> None:
        turn = self._open(inputs)
        CURRENT.set(turn["request_id"])  # where the client sent none, the two steps would have two
        if turn["traceparent"]:
            meter.trace("stream_omni.answer", turn["traceparent"])
        effective = turn["effective"]
        meter.know(effective["mode"])
        whole = (self.assets, number, effective, turn["began_s"])
        answering = Answering(stages, *whole, meter.hear, self.stage_timeout_s)
        answering.answer.usage.update(turn["usage"])
        if turn["transcript"] is not None:
            answering.tell_transcript(turn["transcript"])
        speaker = None
        async with asyncio.TaskGroup() as group:
            if effective["output"] == "speech":
                reading = Reading(None, inputs["hidden"], inputs["keys_values"], turn["shared_tokens"]["speech"])
                speaker = await answering.start_speech(reading, _WHOLE)
                group.create_task(speaker.run())
            if effective["task"] == "speak":
                answering.read_aloud(inputs["prompt_ids"].tolist())
            elif effective["task"] == "answer":
                prompt = inputs["prompt_ids"], inputs["prompt_embeds"]
                await answering.write(Asking(*prompt, turn["shared_tokens"]["text"]))
        piece = AudioPiece(np.zeros(0, np.int16), 0, np.zeros(0, np.int32), 0)
        if speaker is not None and (chunk := await anext(speaker.chunks(), None)) is not None:
            piece = speaker.accept(await stages.token2wav(chunk, self.sound_timeout_s))
        send(_outputs(answering.answer, piece, meter.hear), True)

    def _open(self, inputs: Mapping[str, Array]) -> dict[str, Any]:
        """What ``prepare`` says of the turn. An ensemble hands it over at once: who kept it for later has to pass
        ``prepare`` again, which knows whether turns are let in. Raises UnauthenticatedError, DrainingError."""
        prepared = {name: array for name, array in inputs.items() if name != "seal"}
        self.secret.check_seal(prepared, inputs["seal"][0])
        turn: dict[str, Any] = json.loads(inputs["turn"][0])
        if time.monotonic() - turn["made_s"] > self.sound_timeout_s:
            raise UnauthenticatedError(f"prepare made this more than {self.sound_timeout_s:g} s ago; call turn")
        self.notice.refuse_what_was_made(turn["made_s"])
        return turn


def _outputs(answer: Answer, piece: AudioPiece, hear: Callable[[Event], None]) -> dict[str, Array]:
    """``piece`` is all of the sound."""
    audio, done = answer.add_audio(piece), answer.done()
    if piece.samples.size:
        hear(audio)
    hear(done)
    sound, detail = audio.tensors(), json.loads(done.detail)
    if not piece.samples.size:
        detail["timings"]["first_audio_ms"] = None
    return {
        "transcript": np.array([detail["transcript"].encode()], object),
        "reply": np.array([detail["text"].encode()], object),
        "speech_units": sound["units"],
        "reply_sample_rate": sound["sample_rate"],
        "marks": sound["marks"],
        "detail": np.array([json.dumps(detail, ensure_ascii=False).encode()], object),
        "samples": sound["samples"],
    }
