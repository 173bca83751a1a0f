"""Drawing from a few options, quickly: `Generator.choice` takes longer than drawing a whole scene should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def pick(options: Sequence[T], generator: np.random.Generator) -> T:
    """Each as likely as any other."""
    return options[int(generator.random() * len(options))]


def pick_by_share(shares: Mapping[T, float], generator: np.random.Generator) -> T:
    """``shares`` add up to 1."""
    luck = generator.random()
    for option, share in shares.items():
        luck -= share
        if luck < 0:
            return option
    return option


def happens(share: float, generator: np.random.Generator) -> bool:
    return bool(generator.random() < share)
