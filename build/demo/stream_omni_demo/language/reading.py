"""Batches of sequences through a served stack: in levels, each of which goes on where one of the level before ended.

What many sequences begin with (the system prompt, a picture, a spoken question) is read once, and its caches are
handed to all of them: the stacks read on from caches anyway, and gradients pass through those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stream_omni.model_info import LlamaSizes
from stream_omni.networks.llama import Stack
from stream_omni.runtime.session import Array


@dataclass(frozen=True)
class Context:
    """What a stack has read of P sequences: caches (keys and values by turns, each [P, kv_heads, S, head_size]) and
    how many positions of each count, ``lengths`` [P]. What lies beyond them is never seen."""

    caches: list[Tensor]
    lengths: Tensor

    @classmethod
    def empty(cls, sizes: LlamaSizes, layers: int, sequences: int = 1) -> Context:
        caches = [torch.zeros(sequences, sizes.kv_heads, 0, sizes.head_size) for _ in range(2 * layers)]
        return cls(caches, torch.zeros(sequences, dtype=torch.int64))

    def of(self, parents: Tensor) -> Context:
        """One for each of ``parents`` [R]: the number of the sequence that it goes on with."""
        return Context([cache.index_select(0, parents) for cache in self.caches], self.lengths[parents])

    def room(self, tokens: int) -> tuple[Tensor, list[Tensor]]:
        """The positions [P, tokens] that come next, and the caches with room for them."""
        more = max(0, int(self.lengths.max()) + tokens - self.caches[0].shape[2])
        positions = self.lengths[:, None] + torch.arange(tokens)
        return positions, [F.pad(cache, (0, 0, 0, more)) for cache in self.caches]


def read(stack: Stack, x: Tensor, lengths: Tensor, context: Context) -> tuple[Tensor, Context]:
    """``x`` [R, T, hidden], of which the first ``lengths`` [R] positions count, after ``context``.

    Returns the last block's output [R, T, hidden], not normed, and the context for whoever goes on.
    """
    positions, caches = context.room(x.shape[1])
    y, caches = stack(x, positions, caches)
    return y, Context(caches, context.lengths + lengths)


def padded(rows: Sequence[Sequence[int] | Array], filler: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of unequal length as [R, T] int64, and their lengths [R]."""
    lengths = [len(row) for row in rows]
    together = np.full((len(rows), max(lengths, default=0)), filler, np.int64)
    for line, row in zip(together, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(together), torch.tensor(lengths, dtype=torch.int64)


def within(lengths: Tensor, tokens: int) -> Tensor:
    """Which of ``tokens`` positions count: [R, tokens] bool."""
    return torch.arange(tokens) < lengths[:, None]
