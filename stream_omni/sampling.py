"""Choosing an id from logits: greedily, or at random with the turn's own generator."""

from __future__ import annotations

import zlib

import numpy as np

from stream_omni.runtime.session import Array

_FIRST_LOOK = 1024  # ids; a nucleus is nearly always smaller, and sorting the whole vocabulary takes longer than a step


def text_generator(seed: int) -> np.random.Generator:
    """The generator of a turn's text; those of its speech noise have the same seed and other names."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, zlib.crc32(b"text")], dtype=np.uint64)))


def choose(logits: Array, temperature: float, top_p: float, generator: np.random.Generator) -> int:
    """An id from ``logits`` [V]: the largest one at temperature 0, else drawn from the nucleus of mass ``top_p``.

    The nucleus is the shortest list of ids by falling probability (ties: lower id first) whose mass reaches ``top_p``
    (Holtzman et al. 2020, section 3.1). One uniform number is drawn per call, in float64, so that a turn's draws depend
    on its own seed and logits only. It falls on the nucleus in the order of ids: that of probabilities changes with any
    rounding of logits that are close, and a turn in company would say something else than alone. Raises
    FloatingPointError when the largest logit is not a finite number.
    """
    best = int(logits.argmax())
    if not np.isfinite(logits[best]):
        raise FloatingPointError("the logits are not finite")
    if temperature == 0:
        return best
    scaled = (logits.astype(np.float64) - float(logits[best])) / temperature
    weights = np.exp(scaled)
    ids = np.arange(len(weights)) if top_p >= 1 else np.sort(_nucleus(weights, top_p))
    mass = np.cumsum(weights[ids])
    drawn = np.searchsorted(mass, generator.random() * mass[-1], side="right")
    return int(ids[min(int(drawn), len(ids) - 1)])


def _nucleus(weights: Array, top_p: float) -> Array:
    """Ids of the nucleus by falling weight; ``weights`` [V] need not sum to 1."""
    target = top_p * weights.sum()
    ids = np.arange(len(weights))
    if len(weights) > _FIRST_LOOK:
        least = np.partition(weights, -_FIRST_LOOK)[-_FIRST_LOOK]
        heavy = np.flatnonzero(weights >= least)  # ties at the border included: the same order as a full sort
        if weights[heavy].sum() >= target:
            ids = heavy
    ids = ids[np.argsort(-weights[ids], kind="stable")]
    needed = int(np.searchsorted(np.cumsum(weights[ids]), target)) + 1
    return ids[:needed]
