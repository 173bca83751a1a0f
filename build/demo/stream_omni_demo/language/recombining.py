"""Questions that nobody asked: put together of two, at another pace, with units that are taken for others.

There are some thousand recorded sentences of a few hundred patterns, each in a few renderings. A stack that has heard
all of them guesses words from those before, and knows the noise by heart: of what it was trained on, it missed 0.3 % of
the words, 3.6 % in noise; of what it was not, 3.3 % and 8.4 %.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from stream_omni.prompt import Question
from stream_omni.runtime.session import Array
from stream_omni.tokenizer import Tokenizer
from stream_omni.transcript import collapse
from stream_omni_demo.language.conversing import Conversation
from stream_omni_demo.language.utterances import Units, Utterance, roughened

_PUT_TOGETHER = 0.4  # of the questions
_MOST_TAKEN_FOR_OTHERS = 0.25  # of a question's units
_MOST_ROUGH = 0.08
_ALIKE = 6  # units that one may be taken for
_LONGEST = 110  # units of two halves: little more than the longest question


@dataclass(frozen=True, eq=False)
class Aligned:
    """``labels`` [N], each first heard ``at`` a unit [N] of ``units``."""

    units: Units
    labels: Sequence[int]
    at: Sequence[int]


class Recombination:
    """``aligned``: by voice, what halves are taken from. ``means`` [units, width]: what the units sound like."""

    def __init__(self, aligned: Mapping[str, Sequence[Aligned]], means: Tensor) -> None:
        self._aligned, self._alike = aligned, _alike(means)

    def of(
        self, units: Units, labels: Sequence[int], voice: str, generator: np.random.Generator
    ) -> tuple[Units, Sequence[int]]:
        """What is asked instead, or a disturbed form of the same: its units and labels."""
        known = self._aligned.get(voice, ())
        if len(known) > 1 and generator.random() < _PUT_TOGETHER:
            one, other = (known[i] for i in generator.integers(len(known), size=2))
            units, labels = put_together(one, other, generator)
        taken = generator.random(len(units)) < generator.uniform(0, _MOST_TAKEN_FOR_OTHERS)
        others = self._alike[units, generator.integers(_ALIKE, size=len(units))]
        share = float(generator.uniform(0, _MOST_ROUGH))
        return roughened(np.where(taken, others, units), len(self._alike), generator, share), labels


def put_together(one: Aligned, other: Aligned, generator: np.random.Generator) -> tuple[Units, Sequence[int]]:
    """The first words of ``one`` and the last of ``other``; ``other`` alone where both would be too long."""
    begin = int(generator.integers(len(other.labels)))
    end = int(generator.integers(1, len(one.labels) + 1))
    last = other.units[other.at[begin - 1] if begin else 0 :]
    first = one.units[: one.at[end - 1] + 1]
    if len(first) + len(last) > _LONGEST:
        return other.units, other.labels
    return np.concatenate([first, last]), [*one.labels[:end], *other.labels[begin:]]


def align(
    conversation: Conversation,
    tokenizer: Tokenizer,
    blank: int,
    utterances: Sequence[Utterance],
    generator: np.random.Generator,
) -> Mapping[str, Sequence[Aligned]]:
    """One rendering each, where the stack behind ``conversation`` hears every word of it; by voice."""
    found: dict[str, list[Aligned]] = defaultdict(list)
    for utterance in utterances:
        units = utterance.units(generator)
        heard = conversation.labels(Question(units=tuple(units.tolist())))
        labels = tokenizer.encode(utterance.text)
        if collapse(heard, blank) == labels:
            found[utterance.voice].append(Aligned(units, labels, _begins(heard, blank)))
    return found


def _begins(heard: Array, blank: int) -> list[int]:
    """Where each run of a label begins."""
    before = np.concatenate([[blank], heard[:-1]])
    return [int(at) for at in np.flatnonzero((heard != blank) & (heard != before))]


def _alike(means: Tensor) -> Array:
    """[units, _ALIKE]: the nearest others of each."""
    directions = means - means.mean(0)
    directions = directions / directions.norm(dim=1, keepdim=True)
    likeness = directions @ directions.T
    likeness.fill_diagonal_(-1.0)
    nearest: Array = likeness.topk(_ALIKE).indices.numpy()
    return nearest
