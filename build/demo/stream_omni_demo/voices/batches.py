"""Batches of utterances of about one length, each a function of a step's number."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_POOL_BATCHES = 24  # are drawn at random, then sorted by length: what is alike differs from round to round


class LengthBatches:
    """Every round of ``rounds_of`` steps goes through nearly all items once: a last part of a pool is left out."""

    def __init__(self, lengths: ArrayLike, batch_size: int, seed: int) -> None:
        """Raises ValueError with fewer items than a batch has."""
        self._lengths, self._size, self._seed = np.asarray(lengths), batch_size, seed
        self.steps_a_round = self._lengths.size // batch_size
        if self.steps_a_round == 0:
            raise ValueError(f"{self._lengths.size} items do not make a batch of {batch_size}")
        self._round = lru_cache(maxsize=2)(self._draw)

    def at(self, step: int) -> NDArray[np.int64]:
        """The items [batch_size] of a step, longest first."""
        number, place = divmod(step, self.steps_a_round)
        batch: NDArray[np.int64] = self._round(number)[place]
        return batch

    def _draw(self, number: int) -> NDArray[np.int64]:
        """[steps_a_round, batch_size]"""
        generator = np.random.default_rng((self._seed, number))
        order = generator.permutation(self._lengths.size)[: self.steps_a_round * self._size]
        pools = np.split(order, range(_POOL_BATCHES * self._size, order.size, _POOL_BATCHES * self._size))
        alike = np.concatenate([pool[np.argsort(-self._lengths[pool], kind="stable")] for pool in pools])
        return generator.permutation(alike.reshape(-1, self._size))
