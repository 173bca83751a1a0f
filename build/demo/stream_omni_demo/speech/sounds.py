"""What of an encoder's output tells one sound of a language from another: a projection found by reading letters.

The encoder also tells who speaks and where, and means of all that it tells are mostly of that. So a narrow projection
is trained with a small reader behind it (CTC, Graves et al. 2006), which is thrown away: what is left is what letters
are told by, whoever says them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni_demo.loop import Recipe, train

_LETTERS = "abcdefghijklmnopqrstuvwxyz' "  # by number, from 1 on
_BLANK = 0
_DIRECTIONS = 64
_READER_WIDTH, _READER_MOMENTS = 128, 5
_ROWS = 24
_LEARNING_RATE = 3e-3
_LEAST_VARIANCE = 1e-4  # of the largest


@dataclass(frozen=True, eq=False)
class Heard:
    """``moments`` [T, width] float16, 25 a second: what the encoder made of somebody who said ``text``."""

    text: str
    moments: Tensor


@dataclass(frozen=True)
class Projection:
    """``matrix @ moment + offset``: what tells sounds apart, in directions that count alike."""

    matrix: Tensor  # [directions, width]
    offset: Tensor  # [directions]

    def of(self, moments: Tensor) -> Tensor:
        """[..., width] -> [..., directions]."""
        return moments.to(torch.float32) @ self.matrix.T + self.offset


class Reader(nn.Module):
    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation
        directions = min(_DIRECTIONS, len(mean))
        self.project = nn.Linear(len(mean), directions)
        self.norm = nn.LayerNorm(directions)
        reach = _READER_MOMENTS // 2
        self.first = nn.Conv1d(directions, _READER_WIDTH, _READER_MOMENTS, padding=reach)
        self.second = nn.Conv1d(_READER_WIDTH, _READER_WIDTH, _READER_MOMENTS, padding=reach)
        self.out = nn.Linear(_READER_WIDTH, 1 + len(_LETTERS))

    def forward(self, moments: Tensor) -> Tensor:
        """[B, T, width] -> logits [B, T, 1 + letters]."""
        told = self.norm(self.project((moments - self.mean) / self.deviation))
        x = F.gelu(self.first(told.transpose(1, 2)))
        x = x + F.gelu(self.second(x))
        return self.out(x.transpose(1, 2))  # type: ignore[no-any-return]


def find_projection(
    heard: Sequence[Heard], steps: int, seed: int, state: Path, say: Callable[[str], None]
) -> Projection:
    torch.manual_seed(seed)
    moments = torch.cat([each.moments for each in heard]).to(torch.float32)
    mean, deviation = moments.mean(0), moments.std(0).clamp(min=1e-6)
    reader, by_length = Reader(mean, deviation), sorted(heard, key=lambda each: len(each.moments))

    def losses(step: int) -> dict[str, Tensor]:
        begin = int(np.random.default_rng((seed, step, 7)).integers(max(1, len(by_length) - _ROWS + 1)))
        return {"letters": letter_loss(reader, by_length[begin : begin + _ROWS])}

    train("sounds", list(reader.parameters()), losses, Recipe(steps, _LEARNING_RATE), state, say)
    with torch.no_grad():
        return _whitened(reader, moments)


def letter_loss(reader: Reader, heard: Sequence[Heard]) -> Tensor:
    """The mean of a letter."""
    moments = nn.utils.rnn.pad_sequence([each.moments.to(torch.float32) for each in heard], batch_first=True)
    labels = [letters_of(each.text) for each in heard]
    counts = torch.tensor([len(row) for row in labels])
    lengths = torch.tensor([len(each.moments) for each in heard])
    shares = torch.log_softmax(reader(moments), -1).transpose(0, 1)
    together = torch.tensor([letter for row in labels for letter in row])
    return F.ctc_loss(shares, together, lengths, counts, _BLANK, reduction="sum", zero_infinity=True) / counts.sum()


def letters_of(text: str) -> list[int]:
    """Numbers of its letters, from 1 on; what is no letter is not said."""
    return [_LETTERS.index(letter) + 1 for letter in text.lower() if letter in _LETTERS]


def _whitened(reader: Reader, moments: Tensor) -> Projection:
    matrix = reader.project.weight / reader.deviation
    offset = reader.project.bias - matrix @ reader.mean
    told = moments @ matrix.T + offset
    variances, axes = torch.linalg.eigh(torch.cov(told.T))
    even = torch.diag((variances + _LEAST_VARIANCE * variances[-1]).rsqrt()) @ axes.T
    return Projection(even @ matrix, even @ (offset - told.mean(0)))
