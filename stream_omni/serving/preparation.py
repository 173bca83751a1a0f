"""From a request to what the engines start from: pictures, prompt, and the speech stacks' reading of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from stream_omni.assets import Assets
from stream_omni.image_merge import image_token_count, merge_features
from stream_omni.image_tiles import tile_image
from stream_omni.llm_prompt import llm_prompt
from stream_omni.prompt import Prompt, Question, build_prompt, speech_prefill_ids
from stream_omni.request_error import RequestError
from stream_omni.runtime.session import Array
from stream_omni.serving.errors import InvalidRequestError, StageError
from stream_omni.serving.limits import Limits
from stream_omni.serving.request import TurnRequest
from stream_omni.serving.spans import part
from stream_omni.serving.stages import Stages
from stream_omni.transcript import collapse

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Reading:
    """``transcript``: text ids of a spoken question (None: it was text). ``hidden`` and ``keys_values``: where speech
    starts from (:class:`stream_omni.speech_prompt.SpeechPrompt`); empty for an answer without speech. The first
    ``shared_tokens`` positions are those of other turns as well."""

    transcript: list[int] | None
    hidden: Array
    keys_values: Array
    shared_tokens: int


class Asking(NamedTuple):
    """What the LLM starts from, as in :class:`stream_omni.text_engine.TextRequest`; no ids where it is not asked."""

    ids: NDArray[np.int64]
    embeds: Array
    shared_tokens: int


class Preparation:
    """Of one turn. ``usage`` and ``effective`` are for its `done`, complete when :meth:`prepare` has returned; "
    "``reach``
    is told what the first sound has waited for."""

    def __init__(
        self,
        stages: Stages,
        assets: Assets,
        limits: Limits,
        request: TurnRequest,
        timeout_s: float,
        reach: Callable[[str], None] = lambda part: None,
    ) -> None:
        self._stages, self._assets, self._info = stages, assets, assets.info
        self._request, self._timeout_s, self._reach = request, timeout_s, reach
        self.usage = {"prompt_tokens": 0, "question_units": 0}
        self.effective = _effective(request, limits)

    async def prepare(self, on_reading: Callable[[Reading], Awaitable[None]]) -> Asking:
        """All that comes before the answer.

        ``on_reading`` is awaited as soon as the speech stacks have read the prompt, while pictures may still be looked
        at. Raises InvalidRequestError for a prompt that does not fit the context.
        """
        hidden_size = self._info.llama.hidden
        nothing = Asking(np.zeros(0, np.int64), np.zeros((0, hidden_size), np.float32), 0)
        if self._request.task == "speak":
            await on_reading(await self._read_prefill())
            return nothing
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look())
            with part("prompt"):
                prompt = await self._build_prompt()
            reading, soft_embeds = await self._read(prompt)
            await on_reading(reading)
        if self._request.task == "transcribe":
            return nothing
        return Asking(*llm_prompt(prompt, looking.result(), hidden_size, soft_embeds), prompt.shared_tokens)

    async def spoken_ids(self) -> list[int]:
        """What task speak reads aloud."""
        assert self._request.text is not None
        ids = await self._in_thread(partial(self._assets.tokenizer.encode, self._request.text))
        if len(ids) > self._info.context_tokens:
            raise InvalidRequestError(
                f"text has {len(ids)} tokens; the limit is {self._info.context_tokens}, shorten it"
            )
        return ids

    async def _look(self) -> list[Array]:
        """The prompt's rows of each picture."""
        rows = []
        for picture in self._request.pictures:
            with part("picture"):
                rows.append(await self._features(picture))
        return rows

    async def _features(self, picture: Image) -> Array:
        tiles = await self._in_thread(partial(tile_image, picture, self._info.image, self._info.vision))
        projected = await self._stages.project_tiles(tiles.pixels, self._timeout_s)
        merge = partial(merge_features, tiles, projected, self._assets.image_newline, self._info.image)
        return await self._in_thread(merge)

    async def _build_prompt(self) -> Prompt:
        request, units = self._request, None
        if request.audio is not None:
            units = await self._units(request.audio)
            self.usage["question_units"] = len(units)
            self._reach("speech_tokenizer")
        question = Question(request.text, units, len(request.pictures), request.history, request.system)
        try:
            prompt = await self._in_thread(partial(build_prompt, self._assets.tokenizer, self._info, question))
        except RequestError as error:  # for example a template that wants the roles to alternate
            raise InvalidRequestError(f"{error}; mend history or system") from error
        pictures = sum(image_token_count(p.size, self._info.image, self._info.vision) for p in request.pictures)
        self._fit_context(len(prompt.ids) - len(request.pictures) + pictures)
        self._reach("request")
        return prompt

    async def _units(self, audio: NDArray[np.float32]) -> tuple[int, ...]:
        """Of the spoken question. Raises StageError for one that no vocabulary has: not the client's fault."""
        units = tuple(await self._stages.speech_units(audio, self._request.sample_rate_hz, self._timeout_s))
        if not all(0 <= unit < self._info.vocabulary.units for unit in units):
            raise StageError("speech_tokenizer", f"units up to {max(units)}, of {self._info.vocabulary.units}")
        return units

    def _fit_context(self, prompt_tokens: int) -> None:
        """The prompt and the longest answer must fit; where no length was asked for, the answer's gives way."""
        context, asked = self._info.context_tokens, self._request.max_tokens or 1
        if prompt_tokens + asked > context:
            raise InvalidRequestError(
                f"the prompt has {prompt_tokens} tokens and the answer {asked}; the context holds {context}, "
                "shorten history or text, send fewer pictures, or lower max_tokens"
            )
        self.usage["prompt_tokens"] = prompt_tokens
        self.effective["max_tokens"] = min(self.effective["max_tokens"], context - prompt_tokens)

    async def _read(self, prompt: Prompt) -> tuple[Reading, Array | None]:
        """The soft embeddings are the LLM's, of a spoken question."""
        if prompt.audio_span is None:
            return (await self._read_prefill() if self._request.output == "speech" else self._no_reading()), None
        outputs = ("hidden", "keys_values", "ctc_ids", "soft_embeds")
        shared = prompt.shared_tokens
        found = await self._stages.read_prompt(prompt.spoken_ids, shared, outputs, self._timeout_s)
        labels = found["ctc_ids"][slice(*prompt.audio_span)].tolist()
        transcript = collapse(labels, self._info.vocabulary.blank)
        return Reading(transcript, found["hidden"], found["keys_values"], shared), found["soft_embeds"]

    async def _read_prefill(self) -> Reading:
        """Text-to-speech gives the speech stacks the same prompt whatever is said."""
        ids = speech_prefill_ids(self._assets.tokenizer, self._info)
        found = await self._stages.read_prompt(ids, len(ids), ("hidden", "keys_values"), self._timeout_s)
        return Reading(None, found["hidden"], found["keys_values"], len(ids))

    def _no_reading(self) -> Reading:
        llama = self._info.llama
        shape = (2 * llama.bottom_layers, llama.kv_heads, 0, llama.head_size)
        return Reading(None, np.zeros((0, llama.hidden), np.float32), np.zeros(shape, np.float32), 0)

    async def _in_thread(self, work: Callable[[], Value]) -> Value:
        return await self._stages.calls.run(work, "stream_omni", self._timeout_s)


def _effective(request: TurnRequest, limits: Limits) -> dict[str, Any]:
    """The parameters as used; words, history and pictures are the client's own and not repeated."""
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
