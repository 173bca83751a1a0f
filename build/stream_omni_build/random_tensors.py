"""Tensors that are a function of their name: drawn block by block, so that none need be held whole."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 1 << 24  # 64 MB of float32


@dataclass(frozen=True)
class Rows:
    """Rows (of the first axis) with a spread of their own."""

    ids: Sequence[int]
    std: float
    mean: float = 0.0


@dataclass(frozen=True)
class RandomTensor:
    """``mean + std * z`` with z standard normal; later ``rows`` override earlier ones."""

    name: str
    shape: tuple[int, ...]
    std: float
    mean: float = 0.0
    rows: tuple[Rows, ...] = ()

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def draw_blocks(tensor: RandomTensor, section: str, seed: int) -> Iterator[NDArray[np.float32]]:
    """The tensor as consecutive blocks of whole rows, float32. The values depend on (seed, section, name) alone, not on
    the block size: the generator gives the same stream however many values are asked for at a time.
    """
    key = np.array([seed, zlib.crc32(f"{section}/{tensor.name}".encode())], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    total = tensor.shape[0]
    std, mean = np.full(total, tensor.std, np.float32), np.full(total, tensor.mean, np.float32)
    for rows in tensor.rows:
        std[np.asarray(rows.ids, np.int64)] = rows.std
        mean[np.asarray(rows.ids, np.int64)] = rows.mean
    step = max(1, BLOCK_VALUES * total // tensor.size)
    for begin in range(0, total, step):
        end = min(begin + step, total)
        block = generator.standard_normal((end - begin, *tensor.shape[1:]), dtype=np.float32)
        along_rows = (slice(begin, end), *[None] * (len(tensor.shape) - 1))
        block *= std[along_rows]
        block += mean[along_rows]
        yield block


def draw(tensor: RandomTensor, section: str, seed: int) -> NDArray[np.float32]:
    """The whole tensor, float32."""
    return np.concatenate(list(draw_blocks(tensor, section, seed)))
