"""One served turn: what to ask of which stage, and what to tell the client as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from PIL.Image import Image

from stream_omni.answer import Answer, Event
from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.image_merge import image_token_count, merge_features
from stream_omni.image_tiles import tile_image
from stream_omni.llm_prompt import llm_prompt
from stream_omni.prompt import Prompt, Question, build_prompt, speech_prefill_ids
from stream_omni.runtime.events import Event as EngineEvent
from stream_omni.runtime.session import Array
from stream_omni.serving.errors import InvalidRequestError
from stream_omni.serving.limits import Limits
from stream_omni.serving.request import TurnRequest, read_request
from stream_omni.serving.speaker import Speaker
from stream_omni.serving.stages import Stages
from stream_omni.transcript import collapse

Send = Callable[[Event], None]
Value = TypeVar("Value")


@dataclass(frozen=True)
class TurnDriver:
    """``stage_timeout_s`` bounds each stage call, and the silence between two events of an engine."""

    stages: Stages
    assets: Assets
    limits: Limits
    schedule: ChunkSchedule
    stage_timeout_s: float

    async def drive(self, number: int, inputs: Mapping[str, Array], began_s: float, send: Send) -> None:
        """Answer one request, `done` included. Raises TurnError; releasing the stages is left to the caller."""
        read = partial(read_request, inputs, self.assets, self.limits)
        request = await self.stages.calls.run(read, "stream_omni", self.stage_timeout_s)
        await _Turn(self, number, request, began_s, send).run()


class _Turn:
    def __init__(self, driver: TurnDriver, number: int, request: TurnRequest, began_s: float, send: Send) -> None:
        self._stages, self._assets = driver.stages, driver.assets
        self._schedule, self._timeout_s = driver.schedule, driver.stage_timeout_s
        self._number, self._request, self._send = number, request, send
        self._info = driver.assets.info
        self._effective = _effective(request, driver.limits)
        self._answer = Answer(self._info, driver.assets.tokenizer, driver.assets.speakable, self._effective, began_s)
        self._speaker: Speaker | None = None  # of a turn with speech out

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._request.task == "speak":
                await self._read_aloud(group)
            else:
                await self._answer_question(group)
        self._send(self._answer.done())

    async def _read_aloud(self, group: asyncio.TaskGroup) -> None:
        assert self._request.text is not None
        ids = self._assets.tokenizer.encode(self._request.text)
        self._check_context(len(ids))
        await self._start_speech(group, await self._read_prefill())
        self._tell_text(EngineEvent(self._number, ids, finish="stop"))

    async def _answer_question(self, group: asyncio.TaskGroup) -> None:
        looking = group.create_task(self._look())
        prompt = await self._build_prompt()
        reading, soft_embeds = None, None
        if self._request.audio is not None:
            reading = await self._read(prompt.spoken_ids, ("hidden", "keys_values", "ctc_ids", "soft_embeds"))
            self._tell_transcript(prompt, reading["ctc_ids"])
            soft_embeds = reading["soft_embeds"]
        if self._request.task == "transcribe":
            return
        if self._request.output == "speech":
            await self._start_speech(group, reading or await self._read_prefill())
        await self._start_text(*llm_prompt(prompt, await looking, self._info.llama.hidden, soft_embeds))
        async for event in self._stages.llm.events(self._number, self._timeout_s):
            self._tell_text(event)

    # --- what goes in

    async def _look(self) -> list[Array]:
        """The prompt's rows of each picture."""
        return [await self._features(picture) for picture in self._request.pictures]

    async def _features(self, picture: Image) -> Array:
        tiles = await self._in_thread(partial(tile_image, picture, self._info.image, self._info.vision))
        projected = await self._stages.project_tiles(tiles.pixels, self._timeout_s)
        merge = partial(merge_features, tiles, projected, self._assets.image_newline, self._info.image)
        return await self._in_thread(merge)

    async def _build_prompt(self) -> Prompt:
        """Raises InvalidRequestError when it does not fit the context."""
        request, units = self._request, None
        if request.audio is not None:
            units = tuple(await self._stages.speech_units(request.audio, request.sample_rate_hz, self._timeout_s))
            self._answer.usage["question_units"] = len(units)
        question = Question(request.text, units, len(request.pictures), request.history, request.system)
        try:
            prompt = await self._in_thread(partial(build_prompt, self._assets.tokenizer, self._info, question))
        except ValueError as error:  # for example a template that wants the roles to alternate
            raise InvalidRequestError(f"{error}; mend history or system") from error
        pictures = sum(image_token_count(p.size, self._info.image, self._info.vision) for p in request.pictures)
        self._check_context(len(prompt.ids) - len(request.pictures) + pictures)
        return prompt

    def _check_context(self, prompt_tokens: int) -> None:
        """The prompt and the longest answer must fit; a default for the latter gives way."""
        self._answer.usage["prompt_tokens"] = prompt_tokens
        context, asked = self._info.context_tokens, self._request.max_tokens
        if prompt_tokens + (asked or 1) > context:
            raise InvalidRequestError(
                f"the prompt has {prompt_tokens} tokens and max_tokens is {asked or 1}; the context holds {context}, "
                "shorten history or text, send fewer pictures, or lower max_tokens"
            )
        self._effective["max_tokens"] = min(self._effective["max_tokens"], context - prompt_tokens)

    async def _read(self, ids: Array, outputs: tuple[str, ...]) -> dict[str, Array]:
        return await self._stages.read_prompt(ids, outputs, self._timeout_s)

    async def _read_prefill(self) -> dict[str, Array]:
        """Text-to-speech gives the speech stacks the same prompt whatever is said."""
        ids = speech_prefill_ids(self._assets.tokenizer, self._info)
        return await self._read(ids, ("hidden", "keys_values"))

    async def _start_text(self, ids: Array, embeds: Array) -> None:
        vocabulary, request = self._info.vocabulary, self._request
        # in the speech loop only end-of-turn ends the text
        stop_ids = (vocabulary.eot,) if request.output == "speech" else vocabulary.eos
        await self._stages.llm.start(
            self._number,
            {
                "ids": ids,
                "embeds": embeds,
                "max_tokens": np.array([self._effective["max_tokens"]], np.int32),
                "stop_ids": np.array(stop_ids, np.int64),
                "temperature": np.array([request.temperature], np.float32),
                "top_p": np.array([request.top_p], np.float32),
                "seed": np.array([request.seed], np.uint64),
            },
        )

    async def _start_speech(self, group: asyncio.TaskGroup, reading: Mapping[str, Array]) -> None:
        turn = (self._number, self._request, self._answer, self._send)
        self._speaker = Speaker(self._stages, self._assets, *turn, self._schedule, self._timeout_s)
        await self._speaker.start(reading["hidden"], reading["keys_values"])
        group.create_task(self._speaker.run())

    async def _in_thread(self, work: Callable[[], Value]) -> Value:
        return await self._stages.calls.run(work, "stream_omni", self._timeout_s)

    # --- what comes out

    def _tell_transcript(self, prompt: Prompt, labels: Array) -> None:
        assert prompt.audio_span is not None
        heard = labels[slice(*prompt.audio_span)].tolist()
        self._send(self._answer.add_transcript(collapse(heard, self._info.vocabulary.blank)))

    def _tell_text(self, event: EngineEvent) -> None:
        """To the client first, then to the speech stacks, which never hold it back."""
        finish = event.finish
        self._send_some(self._answer.add_text(event.ids))
        if finish == "stop" or finish == "length":
            self._send_some(self._answer.finish_text(finish))
        if self._speaker is not None:
            cut = [self._info.vocabulary.eot] if finish == "length" or self._request.task == "speak" else []
            self._speaker.say([*event.ids, *cut], final=finish is not None)

    def _send_some(self, event: Event | None) -> None:
        if event is not None:
            self._send(event)


def _effective(request: TurnRequest, limits: Limits) -> dict[str, Any]:
    """The parameters as used, for `done`; words, history and pictures are the client's own and not repeated."""
    return {
        "task": request.task,
        "mode": request.mode,
        "output": request.output,
        "voice": request.voice,
        "max_tokens": request.max_tokens or limits.default_max_tokens,
        "max_audio_ms": request.max_audio_ms,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "sample_rate": request.sample_rate_hz,
    }
