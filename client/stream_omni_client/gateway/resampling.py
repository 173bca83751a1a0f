"""Speech at another sample rate, piece by piece: the joined pieces are what the whole would have been."""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

_HALF_TAPS = 32  # on each side of an output sample: -80 dB from 0.46 of the lower rate on
_KAISER_BETA = 8.0
_PASS_BAND = 0.92  # of the lower rate's half: where the fall to -80 dB has its middle


class Resampler:
    """By the ratio up / down in lowest terms. An output sample lies between two input ones; one filter for each of the
    ``up`` places between them (polyphase)."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        divisor = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        self._filters = _filters(self._up, self._down)
        self._kept = np.zeros(_HALF_TAPS - 1, np.float32)  # input from _first_kept on
        self._first_kept = 1 - _HALF_TAPS
        self._received = self._made = 0  # samples so far

    def add(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """int16 [N] -> int16 [M]: all that can be said without the samples to come."""
        self._received += len(samples)
        self._kept = np.concatenate([self._kept, samples.astype(np.float32)])
        return self._make((self._received - _HALF_TAPS) * self._up // self._down)

    def finish(self) -> NDArray[np.int16]:
        """The rest, with silence after the end."""
        self._kept = np.concatenate([self._kept, np.zeros(_HALF_TAPS + 1, np.float32)])
        return self._make(-(-self._received * self._up // self._down))

    def _make(self, end: int) -> NDArray[np.int16]:
        if end <= self._made:
            return np.zeros(0, np.int16)
        ticks = np.arange(self._made, end, dtype=np.int64) * self._down
        before, phases = ticks // self._up, ticks % self._up  # the input sample before, and how far behind it
        first = before - _HALF_TAPS + 1 - self._first_kept
        windows = np.lib.stride_tricks.sliding_window_view(self._kept, 2 * _HALF_TAPS)[first]  # [M, taps]
        made = np.einsum("mt,mt->m", windows, self._filters[phases])
        self._made = end
        done = int(end * self._down // self._up) - _HALF_TAPS + 1 - self._first_kept  # no later sample needs these
        self._kept, self._first_kept = self._kept[done:], self._first_kept + done
        rounded: NDArray[np.int16] = np.clip(np.rint(made), -32768, 32767).astype(np.int16)
        return rounded


@cache
def _filters(up: int, down: int) -> NDArray[np.float32]:
    """[up, taps]: a windowed sinc for each place between two samples, each with gain 1 for a constant."""
    cutoff = _PASS_BAND * min(1.0, up / down)
    places = np.arange(up)[:, None] / up
    distance = np.arange(1 - _HALF_TAPS, _HALF_TAPS + 1)[None, :] - places  # in input samples
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (distance / _HALF_TAPS) ** 2, 0, None)))
    filters = np.sinc(cutoff * distance) * window
    normalized: NDArray[np.float32] = (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalized
