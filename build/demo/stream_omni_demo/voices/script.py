"""Who says what in the corpus: a function of the plan."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from stream_omni_demo.plan import Plan
from stream_omni_demo.voices.cast import CAST, OUTPUT, SECONDS_A_TAKE, SMOKE_CAST, SMOKE_OUTPUT, Voice
from stream_omni_demo.voices.corpus import Kind, Split
from stream_omni_demo.voices.synthesizer import Manner
from stream_omni_demo.world.sentences import answer_sentences, question_sentences, word_sentences
from stream_omni_demo.world.vocabulary import answer_words

_TAKES_A_PART = 100
_FORMAT = 1  # of what is made of a take: to be raised when that changes


@dataclass(frozen=True)
class Take:
    """One text to be said once."""

    text: str
    kind: Kind
    split: Split
    manner: Manner


@dataclass(frozen=True)
class Part:
    """A shard: some takes of one voice."""

    name: str
    voice: Voice
    takes: tuple[Take, ...]

    @property
    def made_from(self) -> str:
        """Another string for whatever makes other samples."""
        content = json.dumps([_FORMAT, asdict(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def expected_s(self) -> float:
        return len(self.takes) * SECONDS_A_TAKE[self.voice.synthesizer]


def parts_of(plan: Plan) -> list[Part]:
    """The slowest first, so that no core waits long for another at the end."""
    output, cast = (OUTPUT, CAST) if plan.synthesizers else (SMOKE_OUTPUT, SMOKE_CAST)
    seen = [voice for voice in cast if not voice.kept_out]
    kept_out = [voice for voice in cast if voice.kept_out]
    takes: dict[Voice, list[Take]] = defaultdict(list)
    takes[output] = [*_answers(plan), *_questions(plan, output, plan.output_voice_questions, "train")]
    for voice, count in _shared(plan.questions, seen):
        takes[voice] += _questions(plan, voice, count, "train")
    for voice, count in _shared(plan.held_out_questions, [output, *seen]):
        takes[voice] += _questions(plan, voice, count, "held_out_sentence")
    for voice, count in _shared(plan.held_out_voice_questions, kept_out):
        takes[voice] += _questions(plan, voice, count, "held_out_voice")
    return sorted((part for item in takes.items() for part in _parts(*item)), key=lambda part: -part.expected_s)


def _shared(total: int, voices: Sequence[Voice]) -> Iterator[tuple[Voice, int]]:
    """``total`` takes, dealt out by the voices' shares."""
    ends = np.cumsum([voice.share for voice in voices])
    ends = np.rint(ends / ends[-1] * total).astype(int)
    counts = np.diff(ends, prepend=0).tolist()
    yield from ((voice, count) for voice, count in zip(voices, counts, strict=True) if count)


def _answers(plan: Plan) -> list[Take]:
    """By the output voice, in its own manner; no text twice, because it would be said alike. To these come sentences
    of loose words, so that it says words often that only one answer has."""
    total = plan.answers + plan.held_out_answers
    texts = answer_sentences(_generator(plan, "answers"), total)
    order = _generator(plan, "held out answers").permutation(total)  # the first texts have the commonest words
    loose = word_sentences(_generator(plan, "words"), plan.answers_of_words, answer_words())
    manner = Manner(OUTPUT.inner)
    return [
        *(Take(texts[i], "answer", "train", manner) for i in order[: plan.answers]),
        *(Take(texts[i], "answer", "held_out_sentence", manner) for i in order[plan.answers :]),
        *(Take(text, "answer", "train", manner) for text in loose),
    ]


def _questions(plan: Plan, voice: Voice, count: int, split: Split) -> list[Take]:
    generator = _generator(plan, voice.name, split)
    texts = question_sentences(generator, count, "train" if split == "train" else "held_out")
    speeds, pitches = (generator.choice(options, len(texts)).tolist() for options in (voice.speeds, voice.pitches))
    manners = [Manner(voice.inner, speed, pitch) for speed, pitch in zip(speeds, pitches, strict=True)]
    return [Take(text, "question", split, manner) for text, manner in zip(texts, manners, strict=True)]


def _generator(plan: Plan, *names: str) -> np.random.Generator:
    return np.random.default_rng([plan.seed, zlib.crc32(" ".join(names).encode())])


def _parts(voice: Voice, takes: Sequence[Take]) -> Iterator[Part]:
    for number, begin in enumerate(range(0, len(takes), _TAKES_A_PART)):
        name = f"{re.sub('[^a-z0-9]+', '-', voice.name.lower())}-{number:03d}"
        yield Part(name, voice, tuple(takes[begin : begin + _TAKES_A_PART]))
