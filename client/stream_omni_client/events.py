"""What a turn streams back: typed events, each with its place in the stream and the time it arrived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

FinishReason: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True)
class Timings:
    """When the first piece of each kind and the end came, in ms since the turn began; None: there was none."""

    first_transcript_ms: float | None = None
    first_text_ms: float | None = None
    first_audio_ms: float | None = None
    total_ms: float | None = None


class Mark(NamedTuple):
    """Characters ``text[text_begin:text_end]`` of the whole answer begin to be spoken at ``start_ms`` of its audio."""

    text_begin: int
    text_end: int
    start_ms: int


@dataclass(frozen=True)
class TranscriptDelta:
    """A new piece of what the user said. Joined, the ``delta`` of all of them are the transcript; it may be empty."""

    seq: int
    elapsed_s: float
    delta: str


@dataclass(frozen=True)
class TextDelta:
    """A new piece of the answer's text, whole characters only."""

    seq: int
    elapsed_s: float
    delta: str


@dataclass(frozen=True, eq=False)
class AudioDelta:
    """A new piece of the answer's speech; joined, the ``samples`` of all of them are the whole answer, gapless.

    ``samples`` is int16 [N], mono; ``start_ms`` places it on the answer's timeline; ``units`` (int32 [U]) are the
    model's speech units behind it.
    """

    seq: int
    elapsed_s: float
    samples: NDArray[np.int16]
    sample_rate_hz: int
    start_ms: int
    marks: tuple[Mark, ...]
    units: NDArray[np.int32]


@dataclass(frozen=True)
class Done:
    """The last event of a turn that went well.

    ``finish_reason`` is ``length`` where a limit cut the answer; ``text_finish`` and ``audio_finish`` say it per kind
    (None where the turn had no such output). ``usage`` counts tokens, ``timings`` are the server's, ``effective`` the
    parameters as used.
    """

    seq: int
    elapsed_s: float
    finish_reason: FinishReason
    text_finish: FinishReason | None
    audio_finish: FinishReason | None
    transcript: str
    text: str
    usage: Mapping[str, int]
    timings: Timings
    effective: Mapping[str, Any]


Event: TypeAlias = TranscriptDelta | TextDelta | AudioDelta | Done
