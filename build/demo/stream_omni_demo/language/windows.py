"""What the generation loop lets the top stack see of the text, at every unit of a known answer at once.

The loop (:class:`stream_omni.speech_engine.SpeechEngine`) counts a label of the unit before when it is neither blank
nor the last label counted, and each count shows one more speakable token, of which the last few are the window.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_omni.graphs import TEXT_LAG, WINDOW_TOKENS

Counts = NDArray[np.int64]


def counted(labels: NDArray[np.int64], blank: int) -> NDArray[np.bool_]:
    """Which of ``labels`` [units] the loop counts: [units]."""
    found = np.zeros(len(labels), np.bool_)
    spoken = np.flatnonzero(labels != blank)
    found[spoken] = np.diff(labels[spoken], prepend=blank) != 0
    return found


def counts_of(moves: NDArray[np.bool_]) -> Counts:
    """Of units' ``moves`` (whether a unit's label was counted): how many were counted before each unit is chosen, and
    before what follows the last one: [units + 1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(moves, dtype=np.int64)])


def disturbed(moves: NDArray[np.bool_], generator: np.random.Generator, share: float, units: int = 2) -> Counts:
    """Counts as they may come out when speech is generated: each moment of ``moves`` earlier or later by up to
    ``units``; and with the probability ``share`` one is missed, and with the same one too many is counted."""
    moments = np.flatnonzero(moves) + generator.integers(-units, units + 1, int(moves.sum()))
    if len(moments) and generator.random() < share:
        moments = np.delete(moments, generator.integers(len(moments)))
    if generator.random() < share:
        moments = np.append(moments, generator.integers(len(moves)))
    moments = moments.clip(0, len(moves) - 1)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(moments, minlength=len(moves)))])


def window_mask(counts: Tensor, tokens: Tensor, most_tokens: int) -> Tensor:
    """[R, T, most_tokens] bool: which of an answer's speakable tokens are in the window at each of T choices.

    ``counts`` [R, T] of labels so far; ``tokens`` [R]: how many speakable tokens each answer has, the end id included.
    """
    queued = torch.minimum(counts + TEXT_LAG, tokens[:, None]).unsqueeze(-1)
    index = torch.arange(most_tokens)
    return (index < queued) & (index >= queued - WINDOW_TOKENS)
