"""Batches for the top stack: known answers, heard by the trained bottom stack as the generation loop will hear them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stream_omni.model_info import ModelInfo
from stream_omni.networks.speech import SpeechBottomStep
from stream_omni.prompt import Question, build_prompt, speech_prefill_ids
from stream_omni.tokenizer import Tokenizer, speakable_mask
from stream_omni_demo.language.hearing import hear
from stream_omni_demo.language.reading import Context, padded
from stream_omni_demo.language.speaking import Prompts, Spoken
from stream_omni_demo.language.utterances import Units, Utterance, alike
from stream_omni_demo.language.windows import Counts, counted, counts_of, disturbed

_WITH_PICTURE = 0.6  # of the spoken prompts


@dataclass(frozen=True)
class SpeakingSizes:
    """Of a batch: ``answers_alone`` after the prompt of text-to-speech, and ``answers_each`` after each of ``prompts``
    spoken questions, whatever they ask: what is said does not hang on it."""

    answers_alone: int
    prompts: int
    answers_each: int


@dataclass(frozen=True)
class Disturbances:
    """What keeps the stack from relying on a history without faults."""

    units: float = 0.03  # share of the units it looks back on that are others
    missed: float = 0.06  # share of the answers with a label missed, and of those with one too many


@dataclass(frozen=True)
class _Answer:
    text: Sequence[int]  # speakable ids
    said: Units
    parent: int


class SpeakingBatches:
    """``at(step)`` is the same whenever it is asked. ``bottom`` is the trained network, which is not trained here."""

    def __init__(
        self,
        info: ModelInfo,
        tokenizer: Tokenizer,
        bottom: SpeechBottomStep,
        questions: Sequence[Utterance],
        answers: Sequence[Utterance],
        sizes: SpeakingSizes,
        seed: int,
        disturbances: Disturbances | None,
    ) -> None:
        """Without ``disturbances`` everything is as it was said: for judging."""
        self._info, self._tokenizer, self._bottom = info, tokenizer, bottom
        self._sizes, self._seed, self._disturbances = sizes, seed, disturbances
        self._questions, self._answers = questions, answers
        self._prefill = speech_prefill_ids(tokenizer, info)
        speakable = speakable_mask(tokenizer, info.vocabulary.text_size)
        ids = {u.text: [*tokenizer.encode(u.text), info.vocabulary.eot] for u in answers}
        self._texts = {text: [i for i in found if speakable[i]] for text, found in ids.items()}

    def at(self, step: int) -> tuple[Prompts, Spoken]:
        generator = np.random.default_rng((self._seed, step, 2))
        sizes = self._sizes
        prompts = [self._prefill]
        for _ in range(sizes.prompts):
            question = self._questions[int(generator.integers(len(self._questions)))]
            asked = Question(
                units=tuple(question.units(generator).tolist()), pictures=int(generator.random() < _WITH_PICTURE)
            )
            prompts.append(build_prompt(self._tokenizer, self._info, asked).spoken_ids)
        parents = [0] * sizes.answers_alone
        parents += [1 + prompt for prompt in range(sizes.prompts) for _ in range(sizes.answers_each)]
        chosen = alike(self._answers, len(parents), step, self._seed)
        parents = [int(parent) for parent in generator.permutation(parents)]
        answers = [
            _Answer(self._texts[answer.text], answer.units(generator), parent)
            for answer, parent in zip(chosen, parents, strict=True)
        ]
        return self._heard(prompts, answers, generator)

    def _heard(
        self, prompts: Sequence[Units], answers: Sequence[_Answer], generator: np.random.Generator
    ) -> tuple[Prompts, Spoken]:
        vocabulary, llama = self._info.vocabulary, self._info.llama
        ids, lengths = padded(prompts)
        looked_back_on, counts_units = padded([self._looked_back_on(answer.said, generator) for answer in answers])
        parents = torch.tensor([answer.parent for answer in answers])
        with torch.no_grad():
            context = Context.empty(llama, llama.bottom_layers, len(prompts))
            before, _, context = hear(self._bottom, ids, lengths, context)
            after, logits, _ = hear(self._bottom, looked_back_on, counts_units, context.of(parents))
        labels = logits.argmax(-1).numpy()
        last = before[torch.arange(len(prompts)), lengths - 1]  # [P, hidden]
        counts = [self._counts(labels[row, : len(answer.said)], generator) for row, answer in enumerate(answers)]
        text, text_lengths = padded([answer.text for answer in answers])
        targets = [np.append(answer.said + vocabulary.unit_offset, vocabulary.eot) for answer in answers]
        spoken = Spoken(
            hidden=torch.cat([last[parents].unsqueeze(1), after], 1),
            lengths=counts_units + 1,
            parents=parents,
            counts=padded(counts)[0],
            text=text,
            text_lengths=text_lengths,
            targets=padded(targets)[0],
        )
        return Prompts(before[:, :-1], lengths - 1), spoken

    def _looked_back_on(self, units: Units, generator: np.random.Generator) -> Units:
        vocabulary = self._info.vocabulary
        if self._disturbances:
            other = generator.integers(0, vocabulary.units, len(units))
            units = np.where(generator.random(len(units)) < self._disturbances.units, other, units)
        return units + vocabulary.unit_offset

    def _counts(self, labels: Units, generator: np.random.Generator) -> Counts:
        moves = counted(labels, self._info.vocabulary.blank)
        if self._disturbances is None:
            return counts_of(moves)
        return disturbed(moves, generator, self._disturbances.missed)
