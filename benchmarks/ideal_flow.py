"""A flow that needs no training: the exact one of a made-up speech whose statistics are known.

The made-up speech is Gaussian, so the velocity of flow matching (Lipman et al.) has a closed form for any window of
units and any known frames, and a chunk schedule can be judged by a flow that uses all it is given and nothing else.
Its mel is a sum of what makes real speech hard to cut:

* sounds: a spectrum for each unit, blended with its neighbours over about 50 ms, as neighbouring sounds are;
* melody: three slow patterns over the spectrum that the units tell, but only from half a second to either side;
* mood: the same patterns once more, as slow, which no unit tells: a flow draws it, and what it drew before is seen only
  in frames that it is told. At a seam two draws meet;
* a little that is new in every frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_omni.model_info import ModelInfo
from stream_omni.runtime.session import Array, Session

FloatArray = NDArray[np.float64]

UNITS = 512
_CHANNELS, _PATTERNS = 80, 3
_DB = np.log(10) / 20  # in the mel's natural logarithm
_SOUND_DB, _MELODY_DB, _MOOD_DB, _NEW_DB = 8.0, 3.0, 3.0, 1.0  # root mean square over channels
_SOUND_FRAMES, _MELODY_FRAMES, _MOOD_FRAMES = 4.0, 35.0, 50.0  # deviations of blend and context; the mood's time scale
_HELD_FRAMES = 12.0  # how long a unit is held in a row


class IdealFlow:
    """Runtime of ``flow_encoder`` and ``flow_estimator``; other graphs are those of ``others``."""

    def __init__(self, others: Mapping[str, Session], info: ModelInfo) -> None:
        self.info = info
        self._sessions = {**others, "flow_encoder": _Encoder(), "flow_estimator": _Estimator()}

    def session(self, graph: str) -> Session:
        return self._sessions[graph]


class _Encoder:
    """``mu``: the mean of the mel given the window's units, with nothing known of those beyond."""

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        means = [
            _mean(units, (1 - weight)[:, None], left, right)
            for units, left, right, weight in zip(
                inputs["units"], inputs["left"], inputs["right"], inputs["weight"], strict=True
            )
        ]
        mu = np.stack(means).astype(np.float32)
        return {"encoder_out": mu, "mu": mu, "projected_speaker": np.zeros((len(mu), _CHANNELS), np.float32)}


class _Estimator:
    """The expected velocity. Rows without conditions get 0: use it with guidance rate 0."""

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        rows = len(inputs["x"]) // 2
        velocity = np.zeros_like(inputs["x"])
        for i in range(rows):
            velocity[i] = _velocity(*(inputs[name][i].astype(np.float64) for name in ("x", "mu", "condition", "time")))
        return {"velocity": velocity}


def _velocity(x: FloatArray, mu: FloatArray, condition: FloatArray, time: FloatArray) -> FloatArray:
    """E[x1 - x0 | x_t, mu, known frames] on the straight lines x_t = (1 - t) x0 + t x1; all [mel, T]."""
    known, frames, t = int(condition.any(axis=0).sum()), x.shape[1], float(time)
    x, mu, condition = (_directions().T @ a for a in (x, mu, condition))
    expected = condition.copy()
    for slow, part in ((True, slice(_PATTERNS)), (False, slice(_PATTERNS, None))):
        given = _given(slow, frames, known)
        mean = mu[part, known:] + (condition[part, :known] - mu[part, :known]) @ given.pull.T
        gain = t * given.variances / (t**2 * given.variances + (1 - t) ** 2)
        expected[part, known:] = mean + ((x[part, known:] - t * mean) @ given.axes * gain) @ given.axes.T
    return np.asarray(_directions() @ ((expected - x) / (1 - t)))


class _Given(NamedTuple):
    """What is left unknown in frames after ``known`` ones: covariance in its own axes, and how known frames pull."""

    pull: FloatArray  # [T - known, known]
    axes: FloatArray  # [T - known, T - known]
    variances: FloatArray  # [T - known]


@cache
def _given(slow: bool, frames: int, known: int) -> _Given:
    covariance = _covariance(slow, frames)
    pull = np.linalg.solve(covariance[:known, :known], covariance[:known, known:]).T
    variances, axes = np.linalg.eigh(covariance[known:, known:] - pull @ covariance[:known, known:])
    return _Given(pull, axes, np.maximum(variances, 0))


@cache
def _covariance(slow: bool, frames: int) -> FloatArray:
    """[T, T] in one direction of the spectrum, of a window whose own units are known."""
    new = np.eye(frames) * (_NEW_DB * _DB) ** 2
    sound = (_SOUND_DB * _DB) ** 2 * _unknown_beyond(frames, _SOUND_FRAMES)
    if not slow:
        return np.asarray(sound + new)
    apart = np.subtract.outer(np.arange(frames), np.arange(frames))
    mood = np.exp(-0.5 * (apart / _MOOD_FRAMES) ** 2)
    share = _CHANNELS / _PATTERNS * _DB**2  # three directions carry what is counted over all channels
    melody = _unknown_beyond(frames, _MELODY_FRAMES)
    return np.asarray(sound + new + share * (_MELODY_DB**2 * melody + _MOOD_DB**2 * mood))


def _unknown_beyond(frames: int, deviation: float) -> FloatArray:
    """Covariance that units beyond the window leave in a blend of variance 1 all told: [T, T]."""
    margin = int(3 * deviation)
    blend = _blend(deviation)
    spread = np.zeros((frames, frames + 2 * margin))
    for t in range(frames):
        spread[t, t : t + 2 * margin + 1] = blend
    spread[:, margin : margin + frames] = 0  # the window's own units
    apart = np.subtract.outer(np.arange(frames + 2 * margin), np.arange(frames + 2 * margin))
    return np.asarray(spread @ _held(apart) @ spread.T)


@cache
def _blend(deviation: float) -> FloatArray:
    """Weights of the frames around one, such that the blend of units at random has variance 1."""
    reach = np.arange(-int(3 * deviation), int(3 * deviation) + 1)
    weights = np.exp(-0.5 * (reach / deviation) ** 2)
    variance = weights @ _held(np.subtract.outer(reach, reach)) @ weights
    return np.asarray(weights / np.sqrt(variance))


def _held(apart: NDArray[np.int64]) -> FloatArray:
    """How alike the units of two frames are."""
    return np.maximum(0, 1 - np.abs(apart) / _HELD_FRAMES)


def _mean(units: Array, left_share: Array, left: Array, right: Array) -> FloatArray:
    """[mel, T]"""
    sounds, melody = _spectra()
    found = np.zeros((_CHANNELS, len(left)))
    for table, deviation in ((sounds, _SOUND_FRAMES), (melody, _MELODY_FRAMES)):
        track = left_share * table[units[left]] + (1 - left_share) * table[units[right]]
        found += [np.convolve(row, _blend(deviation), "full")[int(3 * deviation) :][: len(left)] for row in track.T]
    return found


@cache
def _spectra() -> tuple[FloatArray, FloatArray]:
    """What each unit adds to the sounds and, in three directions, to the melody: [units, mel] both."""
    generator = np.random.default_rng(1)
    sounds = _SOUND_DB * _DB * generator.standard_normal((UNITS, _CHANNELS))
    melody = _MELODY_DB * _DB * np.sqrt(_CHANNELS / _PATTERNS) * generator.standard_normal((UNITS, _PATTERNS))
    return sounds, melody @ _directions()[:, :_PATTERNS].T


@cache
def _directions() -> FloatArray:
    """Orthonormal; the first three are level, tilt and curve of the spectrum: [mel, mel]."""
    channel = np.linspace(-1, 1, _CHANNELS)
    start = np.random.default_rng(2).standard_normal((_CHANNELS, _CHANNELS))
    start[:, :_PATTERNS] = np.stack([channel**i for i in range(_PATTERNS)], axis=1)
    return np.asarray(np.linalg.qr(start)[0])
