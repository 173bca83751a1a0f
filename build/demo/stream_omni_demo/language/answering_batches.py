"""Batches for the language model: turns of the closed world, typed, spoken, and as if spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from stream_omni.model_info import ModelInfo
from stream_omni.networks.speech import SpeechBottomStep
from stream_omni.prompt import Message, Prompt, Question, build_prompt
from stream_omni.runtime.session import Array
from stream_omni.text_engine import FROM_EMBEDS
from stream_omni.tokenizer import Tokenizer
from stream_omni_demo.language.answering import Asked, Questions, Rest
from stream_omni_demo.language.hearing import hear
from stream_omni_demo.language.imagined import Imagination
from stream_omni_demo.language.picturing import drawn
from stream_omni_demo.language.reading import Context, padded
from stream_omni_demo.language.utterances import Utterance, roughened
from stream_omni_demo.world.exchange import Exchange
from stream_omni_demo.world.sampling import exchanges_about, sample_exchange, sample_lesson, turn_of
from stream_omni_demo.world.scene import Scene, sample_scene
from stream_omni_demo.world.talk import sample_conversation
from stream_omni_demo.world.typed import as_typed

_WITH_HISTORY = 0.12  # of the pictures, and of the turns without one
_TALK_ABOUT_NOTHING = 0.06  # of what is said beside a picture
_ROUGH = 0.02  # of spoken units
_TOGETHER = 16  # rows


@dataclass(frozen=True)
class AnsweringSizes:
    """Of a batch: about each of ``pictures`` ask ``typed`` and ``imagined`` questions, and so many turns are without a
    picture; ``spoken`` utterances are asked where they make sense. ``kept``: the share of the blanks that imagined
    speech has."""

    pictures: int
    typed: int
    imagined: int
    typed_alone: int
    imagined_alone: int
    spoken: int = 0
    kept: float = 1.0


@dataclass(frozen=True)
class _Row:
    """``ids`` are the rest of a prompt and the answer, which begins at ``answer_at``."""

    ids: Array
    answer_at: int
    parent: int
    heard: Prompt | None = None  # of a spoken one


class Listener:
    """The trained bottom stack, which is not trained here, and ``spoken`` questions that it hears."""

    def __init__(self, info: ModelInfo, bottom: SpeechBottomStep, spoken: Sequence[Utterance]) -> None:
        self._info, self._bottom, self.spoken = info, bottom, spoken

    def heard(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """The distributions of the labels at the rests of all prompts, in a row: [N, text_size]."""
        llama = self._info.llama
        ids, lengths = padded([prompt.spoken_ids for prompt in prompts])
        with torch.no_grad():
            empty = Context.empty(llama, llama.bottom_layers, len(prompts))
            _, logits, _ = hear(self._bottom, ids, lengths, empty)
            rests = [row[_cut(prompt) : length] for prompt, row, length in zip(prompts, logits, lengths, strict=True)]
            return torch.softmax(torch.cat(rests), -1)


class AnsweringBatches:
    """``of(step, sizes)`` is the same whenever it is asked. Without a ``listener`` nothing is spoken. With
    ``practised``, shares of kinds of questions, pictures and questions are lessons in these kinds."""

    def __init__(
        self,
        info: ModelInfo,
        tokenizer: Tokenizer,
        imagination: Imagination,
        seed: int,
        listener: Listener | None = None,
        practised: Mapping[str, float] | None = None,
    ) -> None:
        self.info, self.tokenizer, self._practised = info, tokenizer, practised
        self._imagination, self._seed, self._listener = imagination, seed, listener

    def of(self, step: int, sizes: AnsweringSizes) -> list[Questions]:
        """One with pictures, one without."""
        generator = np.random.default_rng((self._seed, step, 3))
        known = self._listener.spoken if self._listener else ()
        spoken = [known[int(i)] for i in generator.integers(len(known), size=sizes.spoken)] if known else []
        turns = [(utterance, *turn_of(utterance.text, generator)) for utterance in spoken]
        seen = [turn for turn in turns if turn[1] is not None][: sizes.pictures]
        alone = [turn for turn in turns if turn[1] is None]
        found = []
        if sizes.pictures:
            asked = sizes.typed + sizes.imagined
            lessons = [(scene, exchanges_about(scene, generator, asked)) for _, scene, _ in seen if scene is not None]
            lessons += [self._lesson(asked, generator) for _ in range(sizes.pictures - len(lessons))]
            found.append(self._about(lessons, [(u, e) for u, _, e in seen], sizes, generator))
        if sizes.typed_alone or sizes.imagined_alone or alone:
            found.append(self._alone([(u, e) for u, _, e in alone], sizes, generator))
        return found

    def _lesson(self, count: int, generator: np.random.Generator) -> tuple[Scene, list[Exchange]]:
        if self._practised is not None:
            return sample_lesson(generator, count, self._practised)
        scene = sample_scene(generator)
        return scene, exchanges_about(scene, generator, count)

    def _about(
        self,
        lessons: Sequence[tuple[Scene, Sequence[Exchange]]],
        spoken: Sequence[tuple[Utterance, Exchange]],
        sizes: AnsweringSizes,
        generator: np.random.Generator,
    ) -> Questions:
        """``spoken`` are about the first of the lessons' scenes."""
        beginnings, typed, imagined, heard = [], [], [], []
        patches = self.info.vision.patches
        for number, (scene, about) in enumerate(lessons):
            history: tuple[Message, ...] = ()
            if generator.random() < _WITH_HISTORY:
                history = _history(exchanges_about(scene, generator, 1))
            asked = Question(text="", pictures=1, history=history)
            before = build_prompt(self.tokenizer, self.info, replace(asked, text=" "))
            at = before.image_at[0]
            beginnings.append(np.concatenate([before.ids[:at], np.zeros(patches, np.int64)]))
            exchanges = [
                sample_conversation(generator, "train") if generator.random() < _TALK_ABOUT_NOTHING else exchange
                for exchange in about
            ]
            typed += [self._typed(asked, e, number, generator) for e in exchanges[: sizes.typed]]
            imagined += [self._imagined(asked, e, number, sizes.kept, generator) for e in exchanges[sizes.typed :]]
            if number < len(spoken):
                heard.append(self._spoken_row(asked, *spoken[number], number, generator))
        return Questions(
            beginnings=Asked(*padded(beginnings)),
            rests=self._rests(typed, imagined, heard),
            pixels=torch.stack([drawn(scene, self.info, generator) for scene, _ in lessons]),
            picture_at=torch.tensor([len(ids) - patches for ids in beginnings]),
        )

    def _alone(
        self, spoken: Sequence[tuple[Utterance, Exchange]], sizes: AnsweringSizes, generator: np.random.Generator
    ) -> Questions:
        """Without a picture: what all share is the system prompt."""
        asked = Question(text="")
        before = build_prompt(self.tokenizer, self.info, replace(asked, text=" "))

        def turn() -> tuple[Question, Exchange]:
            history = _history([_without_picture(generator)]) if generator.random() < _WITH_HISTORY else ()
            return replace(asked, history=history), _without_picture(generator)

        typed = [self._typed(*turn(), 0, generator) for _ in range(sizes.typed_alone)]
        imagined = [self._imagined(*turn(), 0, sizes.kept, generator) for _ in range(sizes.imagined_alone)]
        heard = [self._spoken_row(asked, *said, 0, generator) for said in spoken]
        return Questions(Asked(*padded([before.ids[: before.shared_tokens]])), self._rests(typed, imagined, heard))

    def _typed(self, asked: Question, exchange: Exchange, parent: int, generator: np.random.Generator) -> _Row:
        prompt = build_prompt(self.tokenizer, self.info, replace(asked, text=as_typed(exchange.question, generator)))
        return self._row(prompt, exchange.answer, parent)

    def _imagined(
        self, asked: Question, exchange: Exchange, parent: int, kept: float, generator: np.random.Generator
    ) -> _Row:
        labels = self._imagination.labels(self.tokenizer.encode(exchange.question), generator, kept)
        prompt = build_prompt(self.tokenizer, self.info, replace(asked, text=None, units=(0,) * len(labels)))
        assert prompt.audio_span is not None
        ids = prompt.ids.copy()
        ids[ids >= self.info.vocabulary.unit_offset] = labels
        return self._row(replace(prompt, ids=ids), exchange.answer, parent)

    def _spoken_row(
        self,
        asked: Question,
        utterance: Utterance,
        exchange: Exchange,
        parent: int,
        generator: np.random.Generator,
    ) -> _Row:
        units = roughened(utterance.units(generator), self.info.vocabulary.units, generator, _ROUGH)
        prompt = build_prompt(self.tokenizer, self.info, replace(asked, text=None, units=tuple(units.tolist())))
        row = self._row(prompt, exchange.answer, parent)
        ids = row.ids.copy()
        ids[: row.answer_at] = FROM_EMBEDS
        return replace(row, ids=ids, heard=prompt)

    def _row(self, prompt: Prompt, answer: str, parent: int) -> _Row:
        rest = prompt.ids[_cut(prompt) + len(prompt.image_at) :]
        ids = np.array([*rest, *self.tokenizer.encode(answer), self.info.vocabulary.eot], np.int64)
        return _Row(ids, len(rest), parent)

    def _rests(self, *kinds: Sequence[_Row]) -> tuple[Rest, ...]:
        """Short rows together, and long ones, so that little of a batch is padding."""
        found = []
        for rows in kinds:
            ordered = sorted(rows, key=lambda row: len(row.ids))
            found += [self._rest(ordered[at : at + _TOGETHER]) for at in range(0, len(ordered), _TOGETHER)]
        return tuple(found)

    def _rest(self, rows: Sequence[_Row]) -> Rest:
        """Rows of one kind."""
        prompts = [row.heard for row in rows if row.heard is not None]
        heard = self._listener.heard(prompts) if self._listener and prompts else None
        return Rest(
            asked=Asked(*padded([row.ids for row in rows]), heard),
            parents=torch.tensor([row.parent for row in rows]),
            answer_at=torch.tensor([row.answer_at for row in rows]),
        )


def _cut(prompt: Prompt) -> int:
    """Where the rest begins, among the ids without the picture."""
    return prompt.image_at[0] if prompt.image_at else prompt.shared_tokens


def _history(exchanges: Sequence[Exchange]) -> tuple[Message, ...]:
    messages: list[Message] = []
    for exchange in exchanges:
        messages += [Message("user", exchange.question), Message("assistant", exchange.answer)]
    return tuple(messages)


def _without_picture(generator: np.random.Generator) -> Exchange:
    while True:
        scene, exchange = sample_exchange(generator)
        if scene is None:
            return exchange
