"""Spoken questions that nobody spoke: labels as the bottom stack would hear them, for any text.

What the language model gets of speech is a label now and then and blanks in between. So it learns to read questions
that were never recorded, and at first quickly: with few blanks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MISHEARD = 0.015  # share of words that are taken for another, and of those that are not heard at all
_DEFAULT_GAPS = (3, 4, 5, 6, 7, 9, 12)  # units, as in speech of a middle speed

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Imagination:
    """``gaps``: how many blanks there may be before a label; ``runs``: how often it may come in a row; ``ends``: how
    many blanks may follow the last one."""

    blank: int
    gaps: Sequence[int] = _DEFAULT_GAPS
    runs: Sequence[int] = (1,)
    ends: Sequence[int] = (5,)

    @classmethod
    def like(cls, heard: Iterable[Labels], blank: int) -> Imagination:
        """As in the labels of utterances that were spoken."""
        gaps: list[int] = []
        runs: list[int] = []
        ends: list[int] = []
        for labels in heard:
            gap = 0
            for label, run in itertools.groupby(labels.tolist()):
                count = len(list(run))
                if label != blank:
                    gaps.append(gap)
                    runs.append(count)
                gap = count if label == blank else 0
            ends.append(gap)
        return cls(blank, gaps, runs, ends) if gaps else cls(blank)

    def labels(self, words: Sequence[int], generator: np.random.Generator, kept: float = 1.0) -> Labels:
        """Of a text's ids, with the share ``kept`` of the blanks."""
        chance = generator.random(len(words))
        swapped = generator.permutation(len(words))
        said = [
            words[swapped[i]] if chance[i] < _MISHEARD else word
            for i, word in enumerate(words)
            if chance[i] < 1 - _MISHEARD
        ]
        gaps = np.rint(generator.choice(self.gaps, len(said) + 1) * kept).astype(np.int64)
        gaps[-1] = round(int(generator.choice(self.ends)) * kept)
        runs = generator.choice(self.runs, len(said) + 1)
        pieces = [[self.blank] * gap + [word] * run for gap, word, run in zip(gaps, said, runs, strict=False)]
        return np.array([*(label for piece in pieces for label in piece), *[self.blank] * int(gaps[-1])], np.int64)
