"""Batches for the bottom stack: spoken questions in their prompts, and spoken answers after both kinds of prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stream_omni.model_info import ModelInfo
from stream_omni.prompt import Message, Question, build_prompt, speech_prefill_ids
from stream_omni.runtime.session import Array
from stream_omni.tokenizer import Tokenizer
from stream_omni_demo.language.hearing import Heard
from stream_omni_demo.language.reading import padded
from stream_omni_demo.language.recombining import Recombination
from stream_omni_demo.language.utterances import Units, Utterance, alike, roughened

_WITH_PICTURE = 0.6  # of the questions: a picture leaves its line end before the units
_WITH_HISTORY = 0.1  # of the batches, so that all prompts of one are about as long
_ROUGH = 0.03  # of the units, so that a few renderings stand for many
_TEXT_TOKENS = 40  # of any text, which has to stand for itself


@dataclass(frozen=True)
class HearingSizes:
    """Of a batch. ``answered`` of the questions are followed by ``answers_each`` spoken answers."""

    questions: int
    answered: int
    answers_each: int
    answers_alone: int  # after the prompt of text-to-speech


@dataclass(frozen=True)
class _Row:
    """``ids`` after the level before; the units among them from ``begin`` on say ``labels``."""

    ids: Array
    parent: int
    begin: int = 0
    units: int = 0
    labels: Sequence[int] = ()


class HearingBatches:
    """``at(step)`` is the same whenever it is asked. With ``recombination``, questions are what it makes of them."""

    def __init__(
        self,
        info: ModelInfo,
        tokenizer: Tokenizer,
        questions: Sequence[Utterance],
        answers: Sequence[Utterance],
        sizes: HearingSizes,
        seed: int,
        recombination: Recombination | None = None,
    ) -> None:
        self._info, self._tokenizer, self._sizes, self._seed = info, tokenizer, sizes, seed
        self._questions, self._answers, self._recombination = questions, answers, recombination
        self._prefill = speech_prefill_ids(tokenizer, info)
        self._shared = build_prompt(tokenizer, info, Question(text=" ")).shared_tokens
        self._labels = {u.text: tokenizer.encode(u.text) for u in (*questions, *answers)}

    def at(self, step: int) -> list[Heard]:
        """Three levels: what all prompts begin with, the prompts, the answers."""
        generator = np.random.default_rng((self._seed, step, 1))
        sizes = self._sizes
        questions = alike(self._questions, sizes.questions, step, self._seed)
        answers = alike(self._answers, sizes.answers_alone + sizes.answered * sizes.answers_each, step, self._seed + 1)
        with_history = bool(generator.random() < _WITH_HISTORY)
        prompts = [self._asked(question, with_history, generator) for question in questions]
        rows = [*prompts, _Row(self._prefill[self._shared :], 0), _Row(self._any_text(generator), 0)]
        parents = [len(prompts)] * sizes.answers_alone
        parents += list(generator.permutation(len(prompts))[: sizes.answered]) * sizes.answers_each
        said = [self._said(answer, int(p), generator) for answer, p in zip(answers, parents, strict=True)]
        beginning = _Row(self._prefill[: self._shared], 0)
        return [_level(level) for level in ([beginning], rows, said)]

    def _asked(self, question: Utterance, with_history: bool, generator: np.random.Generator) -> _Row:
        units, labels = self._disturbed(question, generator)
        history: tuple[Message, ...] = ()
        if with_history:
            before = self._questions[int(generator.integers(len(self._questions)))].text
            reply = self._answers[int(generator.integers(len(self._answers)))].text
            history = (Message("user", before), Message("assistant", reply))
        asked = Question(units=tuple(units.tolist()), pictures=int(generator.random() < _WITH_PICTURE), history=history)
        prompt = build_prompt(self._tokenizer, self._info, asked)
        assert prompt.audio_span is not None
        begin = prompt.audio_span[0] - self._shared
        return _Row(prompt.spoken_ids[self._shared :], 0, begin, len(units), labels)

    def _disturbed(self, question: Utterance, generator: np.random.Generator) -> tuple[Units, Sequence[int]]:
        units, labels = question.units(generator), self._labels[question.text]
        if self._recombination is None:
            return roughened(units, self._info.vocabulary.units, generator, _ROUGH), labels
        return self._recombination.of(units, labels, question.voice, generator)

    def _said(self, answer: Utterance, parent: int, generator: np.random.Generator) -> _Row:
        vocabulary = self._info.vocabulary
        units = roughened(answer.units(generator), vocabulary.units, generator, _ROUGH)
        return _Row(units + vocabulary.unit_offset, parent, 0, len(units), self._labels[answer.text])

    def _any_text(self, generator: np.random.Generator) -> Array:
        ids: Array = generator.integers(0, self._info.vocabulary.text_size, _TEXT_TOKENS)
        return np.delete(ids, ids == self._info.vocabulary.blank)


def _level(rows: Sequence[_Row]) -> Heard:
    ids, lengths = padded([row.ids for row in rows])
    return Heard(
        ids=ids,
        lengths=lengths,
        parents=torch.tensor([row.parent for row in rows]),
        audio=torch.tensor([(row.begin, row.begin + row.units) for row in rows]),
        labels=torch.tensor([label for row in rows for label in row.labels], dtype=torch.int64),
        label_counts=torch.tensor([len(row.labels) for row in rows]),
    )
