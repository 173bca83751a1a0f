"""One chunk of a turn's speech: the tensors that travel, and the two stateless stages that work on them.

A chunk is one call of ``token2wav`` (``cosyvoice_flow``, then ``vocoder``). The turn's ``SpeechStream``
(:mod:`stream_omni.speech_stream`) makes its inputs and keeps what the next chunk needs of its outputs, so any instance
serves any chunk. Without a batch axis, with N units in the window, T = the mel frames they make, and H harmonics:

==========  ========  ==============  ================================================================================
inputs      dtype     shape           of which stage; meaning
==========  ========  ==============  ================================================================================
units       int64     [N]             flow; the window: context, the chunk itself, lookahead
speaker     float32   [speaker_size]  flow; the voice
earlier     float32   [mel, K]        flow; the window's first frames as the chunk before left them (K >= 1; see plan)
plan        int64     [8]             both; :class:`ChunkPlan`
seed        uint64    [1]             both; the turn's
phase       float64   [H]             vocoder; cycles of each harmonic where the chunk begins
----------  --------  --------------  --------------------------------------------------------------------------------
mel         float32   [mel, T]        out of flow, into vocoder, and out of the ensemble: the window's frames
samples     int16     [M]             out of vocoder; the chunk's own samples, hop_samples a frame
next_phase  float64   [H]             out of vocoder; ``phase`` of the next chunk
==========  ========  ==============  ================================================================================

Seams. The mel's: frames that an earlier chunk settled are kept, and condition the flow; those it made from its
lookahead are faded into the new ones. The vocoder's: it only ever hears settled frames, as many to either side as its
convolutions reach, so it computes what it would compute for the whole mel at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_omni.mel_clock import MelClock, Places
from stream_omni.model_info import ModelInfo
from stream_omni.noise import TurnNoise
from stream_omni.runtime.session import Array, Session
from stream_omni.token2wav import FloatArray, run_flow, run_vocoder, speech_sizes

Chunk = Mapping[str, Array]

INT16_PEAK = 32767


class ChunkPlan(NamedTuple):
    """Where things lie in a chunk's window. All but the first two count mel frames from the window's first one."""

    first_unit: int  # of the window, counted from the answer's first
    whole: int  # 1: the window is the whole answer, and its units are placed as in the offline path
    settled: int  # this many frames of `earlier` are kept
    faded: int  # this many after them are faded into the new ones
    heard_begin: int  # the frames that the vocoder is given
    heard_end: int
    begin: int  # the chunk's own frames, whose samples it puts out
    end: int

    def tensor(self) -> NDArray[np.int64]:
        return np.array(self, np.int64)

    @classmethod
    def of(cls, chunk: Chunk) -> ChunkPlan:
        return cls(*chunk["plan"].tolist())


def urgency(chunk: Chunk) -> tuple[bool, int]:
    """Lower is more urgent: an answer's first chunk, for which somebody waits in silence, goes before later chunks,
    which come while others play; of first ones, the one that takes the least time."""
    plan = ChunkPlan.of(chunk)
    later = plan.settled > 0
    return later, 0 if later else plan.end - plan.begin


def flow_window(info: ModelInfo, chunk: Chunk) -> tuple[int, int]:
    """Units and frames of the window. The flow can take chunks together for which they are equal."""
    return len(chunk["units"]), _places(info, chunk).frames


def vocoder_window(chunk: Chunk) -> int:
    """Frames that the vocoder hears. It can take chunks together for which they are equal."""
    plan = ChunkPlan.of(chunk)
    return plan.heard_end - plan.heard_begin


def _places(info: ModelInfo, chunk: Chunk) -> Places:
    plan, clock, count = ChunkPlan.of(chunk), MelClock.of(*speech_sizes(info)), len(chunk["units"])
    return clock.whole(count) if plan.whole else clock.window(plan.first_unit, count)


def run_flow_chunks(encoder: Session, estimator: Session, info: ModelInfo, chunks: Sequence[Chunk]) -> list[FloatArray]:
    """``mel`` of each chunk. Chunks of equal window sizes run as one batch."""
    flow, vocoder = speech_sizes(info)
    clock = MelClock.of(flow, vocoder)
    plans, places = [ChunkPlan.of(chunk) for chunk in chunks], [_places(info, chunk) for chunk in chunks]
    found: list[FloatArray] = [np.zeros(0, np.float32)] * len(chunks)
    for rows in _groups([flow_window(info, chunk) for chunk in chunks]):
        frames = places[rows[0]].frames
        condition = np.zeros((len(rows), flow.mel_channels, frames), np.float32)
        for row, i in enumerate(rows):
            condition[row, :, : plans[i].settled] = chunks[i]["earlier"][:, : plans[i].settled]
        begin = [clock.frames(plans[i].first_unit) for i in rows]
        mel = run_flow(
            encoder,
            estimator,
            flow,
            np.stack([chunks[i]["units"] for i in rows]),
            np.stack([chunks[i]["speaker"] for i in rows]),
            [places[i] for i in rows],
            condition,
            np.stack([_noise(chunks[i]).flow(b, frames, flow.mel_channels) for i, b in zip(rows, begin, strict=True)]),
        )
        for row, i in enumerate(rows):
            found[i] = join(chunks[i]["earlier"], mel[row], plans[i])
    return found


def join(earlier: Array, mel: FloatArray, plan: ChunkPlan) -> FloatArray:
    """The window's frames: settled ones as they were, then a fade whose two weights sum to 1, then the new ones."""
    share = fade_in(plan.faded)
    fade = slice(plan.settled, plan.settled + plan.faded)
    joined = mel.copy()
    joined[:, : plan.settled] = earlier[:, : plan.settled]
    joined[:, fade] = (1 - share) * earlier[:, fade] + share * mel[:, fade]
    return joined


def fade_in(frames: int) -> FloatArray:
    """Weights of the new frames: the rising half of a Hann window, neither 0 nor 1 at its ends."""
    steps = np.arange(1, frames + 1) / (frames + 1)
    weights: FloatArray = (0.5 - 0.5 * np.cos(np.pi * steps)).astype(np.float32)
    return weights


def run_vocoder_chunks(
    f0_predictor: Session, vocoder: Session, info: ModelInfo, chunks: Sequence[Chunk]
) -> list[dict[str, Array]]:
    """``samples`` and ``next_phase`` of each chunk, which holds its ``mel`` too. Equal windows run as one batch."""
    flow, sizes = speech_sizes(info)
    clock, hop = MelClock.of(flow, sizes), sizes.hop_samples
    plans = [ChunkPlan.of(chunk) for chunk in chunks]
    found: list[dict[str, Array]] = [{} for _ in chunks]
    for rows in _groups([vocoder_window(chunk) for chunk in chunks]):
        frames = vocoder_window(chunks[rows[0]])
        begin = [clock.frames(plans[i].first_unit) + plans[i].heard_begin for i in rows]
        waveform, phases = run_vocoder(
            f0_predictor,
            vocoder,
            sizes,
            np.stack([chunks[i]["mel"][:, plans[i].heard_begin : plans[i].heard_end] for i in rows]),
            np.stack([chunks[i]["phase"] for i in rows]),
            np.array([plans[i].begin - plans[i].heard_begin for i in rows], np.int64),
            np.stack(
                [_noise(chunks[i]).sine(b, frames, sizes.harmonics, hop) for i, b in zip(rows, begin, strict=True)]
            ),
        )
        if not np.isfinite(waveform).all():  # as integers they would be a bang
            raise FloatingPointError("the waveform holds numbers that are not finite")
        for row, i in enumerate(rows):
            first, last = plans[i].begin - plans[i].heard_begin, plans[i].end - plans[i].heard_begin
            samples = np.round(waveform[row, hop * first : hop * last] * INT16_PEAK).astype(np.int16)
            found[i] = {"samples": samples, "next_phase": phases[row, last]}
    return found


def _noise(chunk: Chunk) -> TurnNoise:
    return TurnNoise(int(chunk["seed"][0]))


def _groups(keys: Sequence[Hashable]) -> Iterator[list[int]]:
    """Positions of equal keys."""
    found = defaultdict(list)
    for i, key in enumerate(keys):
        found[key].append(i)
    yield from found.values()
