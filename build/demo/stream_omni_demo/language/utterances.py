"""What was said, as units: the corpus as the speech stacks are trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Units = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Utterance:
    """``renderings`` are units of the same sound, each with other noise, room and silence around it; the last is as it
    was recorded."""

    text: str
    voice: str
    renderings: tuple[Units, ...]

    @property
    def length(self) -> int:
        return len(self.renderings[0])

    @property
    def recorded(self) -> Units:
        return self.renderings[-1]

    def disturbed(self, generator: np.random.Generator) -> Units:
        """One of the others, where there are any."""
        return self.renderings[int(generator.integers(max(1, len(self.renderings) - 1)))]

    def units(self, generator: np.random.Generator) -> Units:
        """One of the renderings."""
        return self.renderings[int(generator.integers(len(self.renderings)))]


def alike(utterances: Sequence[Utterance], count: int, step: int, seed: int, ahead: int = 8) -> list[Utterance]:
    """``count`` utterances of about the same length, so that little of a batch is padding.

    Those of ``ahead`` steps are drawn together and dealt by length, in a random order of the lengths.
    """
    generator = np.random.default_rng((seed, step // ahead))
    chosen = [utterances[i] for i in generator.integers(len(utterances), size=count * ahead)]
    chosen.sort(key=lambda utterance: utterance.length)
    part = int(generator.permutation(ahead)[step % ahead])
    return chosen[part * count : (part + 1) * count]


def roughened(units: Units, count: int, generator: np.random.Generator, share: float) -> Units:
    """With about ``share`` of the units replaced by any of ``count`` others, and as many said twice or left out."""
    replaced = np.where(generator.random(len(units)) < share, generator.integers(0, count, len(units)), units)
    times = np.ones(len(units), np.int64)
    chance = generator.random(len(units))
    times[chance < share / 2], times[chance > 1 - share / 2] = 0, 2
    return np.repeat(replaced, times)
