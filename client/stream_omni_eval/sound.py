"""Faults of an answer's sound that need no listener: clipped, silent, broken by pauses, loud where pieces join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_omni_eval.percentiles import Percentiles
from stream_omni_eval.seams import HOP_SAMPLES, Changes, SeamValues, compare_seams, level_db

_FULL_SCALE = 32768
_CLIPPED = 0.985  # of full scale: CosyVoice's vocoder ends at 0.99
_SILENT_DB = -50.0  # of a whole answer, below full scale
_QUIET_DB = -35.0  # below the answer's loudest frame: a pause
_FRAME_S = 0.01
_LONG_PAUSE_S = 0.5

_SPREADS = ("level_db", "clipped_share", "begins_after_s", "ends_before_s", "longest_pause_s", "duration_s")

Pcm = NDArray[np.int16]  # [N], mono


@dataclass(frozen=True)
class Sound:
    level_db: float
    clipped_share: float
    begins_after_s: float  # of quiet
    ends_before_s: float
    longest_pause_s: float  # within the speech
    duration_s: float

    @classmethod
    def of(cls, samples: Pcm, rate_hz: int) -> Sound:
        """Of some samples, at least one."""
        values = samples.astype(np.float64) / _FULL_SCALE
        step = round(_FRAME_S * rate_hz)
        frames = np.pad(values, (0, -len(values) % step)).reshape(-1, step)
        levels_db = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
        loud = np.flatnonzero(levels_db > levels_db.max() + _QUIET_DB)
        pauses = np.diff(loud) - 1
        return cls(
            level_db=level_db(values),
            clipped_share=float((np.abs(values) > _CLIPPED).mean()),
            begins_after_s=float(loud[0] * _FRAME_S),
            ends_before_s=float((len(frames) - 1 - loud[-1]) * _FRAME_S),
            longest_pause_s=float(pauses.max(initial=0) * _FRAME_S),
            duration_s=len(samples) / rate_hz,
        )

    @property
    def is_silent(self) -> bool:
        return self.level_db < _SILENT_DB


def describe_sounds(sounds: Sequence[Sound]) -> dict[str, Any]:
    def spread(name: str) -> dict[str, Any]:
        return Percentiles.of([getattr(sound, name) for sound in sounds]).as_json()

    return {
        "answers": len(sounds),
        "silent": sum(sound.is_silent for sound in sounds),
        "clipped": sum(sound.clipped_share > 0 for sound in sounds),
        "with_long_pauses": sum(sound.longest_pause_s > _LONG_PAUSE_S for sound in sounds),
        **{name: spread(name) for name in _SPREADS},
    }


def describe_seams(answers: Sequence[tuple[Pcm, tuple[int, ...]]]) -> dict[str, Any]:
    """Of sounds with the lengths of the pieces that they came in: how much they change where pieces join, compared with
    elsewhere (see :func:`stream_omni_eval.seams.compare_seams`). A sound that came in one piece with the lengths of
    another's pieces is what that one is to be compared with."""
    found: dict[str, list[SeamValues]] = {}
    for samples, pieces in answers:
        frames = len(samples) // HOP_SAMPLES
        joins = np.cumsum(pieces)[:-1] // HOP_SAMPLES
        joins = joins[(joins > 1) & (joins < frames - 1)]
        if not len(joins):
            continue
        near, exactly = np.zeros(frames, bool), np.zeros(frames, bool)
        near[(joins[:, None] + np.arange(-1, 2)).ravel()] = True
        exactly[joins] = True
        values = samples[: frames * HOP_SAMPLES].astype(np.float64) / _FULL_SCALE
        for name, changes in Changes.of(values).by_name().items():
            at = exactly if name == "kink" else near
            found.setdefault(name, []).append(SeamValues.split(changes, at, ~near))
    return {name: compare_seams(signals) for name, signals in found.items()}
