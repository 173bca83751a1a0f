"""A turn's speech as it grows: units in, pieces of audio out, without any input or output of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_omni.chunk_schedule import ChunkSchedule, vocoder_reach_frames
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo
from stream_omni.noise import TurnNoise
from stream_omni.runtime.session import Array
from stream_omni.speech_chunks import ChunkPlan
from stream_omni.token2wav import speech_sizes


@dataclass(frozen=True, eq=False)
class AudioPiece:
    """Joined, an answer's pieces are the whole answer without gap."""

    samples: NDArray[np.int16]  # [M]
    start_ms: int  # on the answer's timeline
    units: NDArray[np.int32]  # those that became these samples
    first_unit: int  # their place in the answer


class SpeechStream:
    """Makes the inputs of each chunk (:mod:`stream_omni.speech_chunks`) and keeps what one chunk leaves to the next.

    Use: ``append`` and ``finish`` as units come; whenever ``next_chunk`` returns tensors, run the two stages on them
    and give the outputs to ``accept``. One chunk is under way at a time. Which chunks there are depends on the
    schedule and the number of units only, so the same answer always gives the same samples.
    """

    def __init__(self, info: ModelInfo, speaker: Array, seed: int, schedule: ChunkSchedule | None = None) -> None:
        """``speaker`` float32 [speaker_size]. Raises ValueError for a schedule that cannot make exact seams."""
        flow, self._sizes = speech_sizes(info)
        self._schedule, self._clock = schedule or ChunkSchedule(), MelClock.of(flow, self._sizes)
        self._schedule.check(self._clock, self._sizes)
        self._reach = vocoder_reach_frames(self._sizes)
        self._unit_count = flow.units
        self._speaker = np.asarray(speaker, np.float32)
        self._seed = seed
        self._units: list[int] = []
        self._finished = False
        self._chunks = 0
        self._spoken = 0  # units whose samples are out
        self._plan: ChunkPlan | None = None  # of the chunk under way
        self._end = 0  # its last unit, exclusive
        self._mel = np.zeros((flow.mel_channels, 1), np.float32)  # of the chunk before, from frame _mel_begin on
        self._mel_begin = 0
        self._phase = TurnNoise(seed).phase(self._sizes.harmonics)

    @property
    def done(self) -> bool:
        """All units are known and their audio is out."""
        return self._finished and self._spoken == len(self._units)

    def append(self, units: Iterable[int]) -> None:
        """Raises ValueError for what is no unit, and after ``finish``."""
        if self._finished:
            raise ValueError("units came after the end of the answer")
        for unit in units:
            if not 0 <= unit < self._unit_count:
                raise ValueError(f"speech unit {unit} is not in 0 ... {self._unit_count - 1}")
            self._units.append(int(unit))

    def finish(self) -> None:
        """No more units will come."""
        self._finished = True

    def next_chunk(self) -> dict[str, Array] | None:
        """The inputs of the next chunk; None while one is under way, or units are missing, or all is done."""
        if self._plan is not None or self.done:
            return None
        known, end = len(self._units), self._spoken + self._schedule.chunk_units(self._chunks)
        seen = end + self._schedule.lookahead_units
        if known <= seen:  # so few that, if the answer ends here, they are its last chunk
            if not self._finished:
                return None
            end = seen = known
        first = max(0, self._spoken - self._schedule.context_units)
        self._plan, self._end = self._make_plan(first, end, seen), end
        earlier = self._mel[:, self._clock.frames(first) - self._mel_begin :]
        return {
            "units": np.array(self._units[first:seen], np.int64),
            "speaker": self._speaker,
            "earlier": np.ascontiguousarray(earlier[:, : max(1, self._plan.settled + self._plan.faded)]),
            "plan": self._plan.tensor(),
            "seed": np.array([self._seed], np.uint64),
            "phase": self._phase,
        }

    def _make_plan(self, first: int, end: int, seen: int) -> ChunkPlan:
        origin, last = self._clock.frames(first), self._clock.frames(seen)
        begin, stop = self._clock.frames(self._spoken), self._clock.frames(end)
        goes_on = end < seen
        return ChunkPlan(
            first_unit=first,
            whole=int(self._spoken == 0 and not goes_on),
            settled=begin + self._reach - origin if self._spoken else 0,
            faded=self._schedule.fade_frames if self._spoken else 0,
            heard_begin=max(0, begin - self._reach - origin),
            heard_end=(stop + self._reach if goes_on else last) - origin,
            begin=begin - origin,
            end=stop - origin,
        )

    def accept(self, outputs: Mapping[str, Array]) -> AudioPiece:
        """``mel``, ``samples`` and ``next_phase`` of the chunk under way."""
        assert self._plan is not None, "no chunk is under way"
        self._mel, self._mel_begin = outputs["mel"], self._clock.frames(self._plan.first_unit)
        self._phase = outputs["next_phase"]
        first, self._spoken, self._plan = self._spoken, self._end, None
        self._chunks += 1
        start_samples = self._clock.frames(first) * self._sizes.hop_samples
        return AudioPiece(
            samples=outputs["samples"],
            start_ms=round(1000 * start_samples / self._sizes.sample_rate_hz),
            units=np.array(self._units[first : self._end], np.int32),
            first_unit=first,
        )
