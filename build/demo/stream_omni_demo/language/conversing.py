"""Whole turns in process, by the project's own engines: what the gates judge, before there is a checkpoint to serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from stream_omni.image_merge import merge_features
from stream_omni.image_tiles import tile_image
from stream_omni.llm_prompt import llm_prompt
from stream_omni.model_info import ModelInfo
from stream_omni.prompt import Question, build_prompt, speech_prefill_ids
from stream_omni.runtime.session import Array, Runtime
from stream_omni.speech_engine import SpeechEngine, SpeechRequest
from stream_omni.speech_prompt import SpeechPrompt, read_prompt
from stream_omni.text_engine import TextEngine, TextRequest
from stream_omni.tokenizer import Tokenizer, speakable_mask
from stream_omni.transcript import collapse

_SLOTS = 16
_MOST_TOKENS = 32  # of an answer; the longest right one has half as many
_UNITS_A_TOKEN = 14  # a slow speaker's, and half a second more


@dataclass(frozen=True)
class Turn:
    question: Question
    picture: Image.Image | None = None


@dataclass(frozen=True)
class Speech:
    """``ids`` as the loop made them, units and all else, and how many labels were counted before each."""

    ids: Array
    counts: Array
    ended: bool  # by itself


class Conversation:
    """The networks of ``runtime`` need exist for what is asked of them only."""

    def __init__(self, runtime: Runtime, info: ModelInfo, tokenizer: Tokenizer) -> None:
        self._runtime, self._info, self._tokenizer = runtime, info, tokenizer

    def labels(self, question: Question) -> Array:
        """What the bottom stack hears at each unit of a spoken question."""
        prompt = build_prompt(self._tokenizer, self._info, question)
        assert prompt.audio_span is not None
        return self._read(prompt.spoken_ids).ctc_ids[slice(*prompt.audio_span)]

    def heard(self, questions: Sequence[Question]) -> list[str]:
        """The transcripts of spoken questions."""
        blank = self._info.vocabulary.blank
        return [self._tokenizer.decode(collapse(self.labels(question), blank)) for question in questions]

    def answers(self, turns: Sequence[Turn]) -> list[str]:
        """What the language model says, greedily."""
        engine = TextEngine(self._runtime.session("llm"), self._info, _SLOTS)
        said: list[list[int]] = [[] for _ in turns]
        waiting = list(enumerate(turns))
        while waiting or engine.has_work:
            while waiting and engine.active < _SLOTS:
                number, turn = waiting.pop(0)
                engine.start(number, self._request(turn))
            for event in engine.step():
                said[event.turn] += event.ids
        return [self._tokenizer.decode(ids) for ids in said]

    def speak(self, texts: Sequence[str], question: Question | None = None) -> list[Speech]:
        """Texts as the top stack says them: after the prompt of text-to-speech, or after a spoken ``question``."""
        vocabulary = self._info.vocabulary
        prompt = self._read(
            speech_prefill_ids(self._tokenizer, self._info)
            if question is None
            else build_prompt(self._tokenizer, self._info, question).spoken_ids
        )
        sessions = self._runtime.session("speech_bottom_step"), self._runtime.session("speech_top")
        speakable = speakable_mask(self._tokenizer, vocabulary.text_size)
        engine = SpeechEngine(*sessions, self._info, speakable, slots=len(texts))
        for number, text in enumerate(texts):
            text_ids = [*self._tokenizer.encode(text), vocabulary.eot]
            most = _UNITS_A_TOKEN * len(text_ids)
            engine.start(number, SpeechRequest(prompt.hidden, prompt.keys_values, question is None, most))
            engine.append(number, text_ids, final=True)
        ids: list[list[int]] = [[] for _ in texts]
        counts: list[list[int]] = [[] for _ in texts]
        ended: set[int] = set()
        while engine.has_work:
            for event in engine.step():
                ids[event.turn] += event.ids
                counts[event.turn] += event.counts
                ended |= {event.turn} if event.finish == "stop" else set()
        return [Speech(np.array(ids[n]), np.array(counts[n]), n in ended) for n in range(len(texts))]

    def said(self, speech: Speech) -> str:
        """What the bottom stack hears in generated speech, after the prompt of text-to-speech."""
        return self._tokenizer.decode(self.labels_after_prefill(speech.ids[: -1 if speech.ended else None]))

    def labels_after_prefill(self, ids: Array) -> list[int]:
        """What it hears in an answer's ``ids``."""
        prefill = speech_prefill_ids(self._tokenizer, self._info)
        labels = self._read(np.concatenate([prefill, ids])).ctc_ids[len(prefill) :]
        return collapse(labels, self._info.vocabulary.blank)

    def _read(self, ids: Array) -> SpeechPrompt:
        return read_prompt(self._runtime.session("speech_bottom"), self._info, ids)

    def _request(self, turn: Turn) -> TextRequest:
        info = self._info
        prompt = build_prompt(self._tokenizer, info, turn.question)
        soft = None if prompt.audio_span is None else self._read(prompt.spoken_ids).soft_embeds
        pictures = [] if turn.picture is None else [self._see(turn.picture)]
        ids, embeds = llm_prompt(prompt, pictures, info.llama.hidden, soft)
        return TextRequest(ids, embeds, _MOST_TOKENS, info.vocabulary.eos)

    def _see(self, picture: Image.Image) -> Array:
        tiles = tile_image(picture, self._info.image, self._info.vision)
        projected = self._runtime.session("vision_encoder").run({"pixels": tiles.pixels})["projected"]
        newline = np.zeros(self._info.llama.hidden, np.float32)  # of no layout with one tile
        return merge_features(tiles, projected, newline, self._info.image)
