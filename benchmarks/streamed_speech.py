"""Units spoken in chunks, and the same units at once: what a comparison needs of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_omni.chunk_schedule import ChunkSchedule, vocoder_reach_frames
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo
from stream_omni.noise import TurnNoise
from stream_omni.runtime.session import Array, Runtime, Session
from stream_omni.speech_chunks import ChunkPlan, run_flow_chunks, run_vocoder_chunks
from stream_omni.speech_stream import SpeechStream
from stream_omni.token2wav import FloatArray, run_flow, run_vocoder, speech_sizes, synthesize


@dataclass(frozen=True)
class Voice:
    """One set of weights and one of its speakers. ``conditioned``: whether the flow is told its settled frames."""

    runtime: Runtime
    info: ModelInfo
    speaker: Array
    conditioned: bool = True

    def session(self, graph: str) -> Session:
        session = self.runtime.session(graph)
        return Unconditioned(session) if graph == "flow_estimator" and not self.conditioned else session


@dataclass(frozen=True)
class Unconditioned:
    """The flow's estimator, told that no frame is known."""

    session: Session

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        return self.session.run({**inputs, "condition": np.zeros_like(inputs["condition"])}, caches)


@dataclass(frozen=True)
class Streamed:
    """``seams``: frames that a piece of samples begins with, but for the first. ``fades``: [begin, end) of the frames
    where two chunks' mels were blended, so that what follows is the later one's."""

    samples: NDArray[np.float64]
    mel: FloatArray  # [mel, T]
    seams: tuple[int, ...]
    fades: tuple[tuple[int, int], ...]
    first_needs_units: int  # so many had to be known before the first piece
    work: float  # units that the flow ran on, for each unit of the answer


def stream(voice: Voice, units: Sequence[int], seed: int, schedule: ChunkSchedule) -> Streamed:
    speech = SpeechStream(voice.info, voice.speaker, seed, schedule)
    flow, vocoder = speech_sizes(voice.info)
    clock, reach = MelClock.of(flow, vocoder), vocoder_reach_frames(vocoder)
    speech.append(units)
    speech.finish()
    samples, mels, seams, run_units = [], [], [], 0
    while (chunk := speech.next_chunk()) is not None:
        mel = run_flow_chunks(voice.session("flow_encoder"), voice.session("flow_estimator"), voice.info, [chunk])[0]
        heard = [{**chunk, "mel": mel}]
        found = run_vocoder_chunks(voice.session("f0_predictor"), voice.session("vocoder"), voice.info, heard)[0]
        piece, plan = speech.accept({"mel": mel, **found}), ChunkPlan.of(chunk)
        run_units += len(chunk["units"])
        mels.append(mel[:, plan.begin : plan.end])
        samples.append(piece.samples / 32767)
        seams.append(clock.frames(piece.first_unit))
    fades = tuple((seam + reach, seam + reach + schedule.fade_frames) for seam in seams[1:])
    needed = min(len(units), schedule.first_units + schedule.lookahead_units + 1)
    work = run_units / len(units)
    return Streamed(np.concatenate(samples), np.concatenate(mels, axis=1), tuple(seams[1:]), fades, needed, work)


def speak_at_once(voice: Voice, units: Sequence[int], seed: int) -> NDArray[np.float64]:
    """The reference's way."""
    return synthesize(voice.runtime, voice.info, units, voice.speaker, TurnNoise(seed)).astype(np.float64)


def flow_at_once(voice: Voice, units: Sequence[int], seed: int) -> FloatArray:
    """[mel, T], each unit placed as chunks place it: what chunks would make if they saw all units."""
    flow, vocoder = speech_sizes(voice.info)
    places = MelClock.of(flow, vocoder).window(0, len(units))
    noise = TurnNoise(seed).flow(0, places.frames, flow.mel_channels)[None]
    mel = run_flow(
        voice.session("flow_encoder"),
        voice.session("flow_estimator"),
        flow,
        np.array(units, np.int64)[None],
        voice.speaker[None],
        [places],
        np.zeros_like(noise),
        noise,
    )
    whole: FloatArray = mel[0]
    return whole


def vocode_at_once(voice: Voice, mel: FloatArray, seed: int) -> NDArray[np.float64]:
    _, sizes = speech_sizes(voice.info)
    noise, frames = TurnNoise(seed), mel.shape[1]
    waveform, _ = run_vocoder(
        voice.session("f0_predictor"),
        voice.session("vocoder"),
        sizes,
        mel[None],
        noise.phase(sizes.harmonics)[None],
        np.zeros(1, np.int64),
        noise.sine(0, frames, sizes.harmonics, sizes.hop_samples)[None],
    )
    first: NDArray[np.float64] = waveform[0].astype(np.float64)
    return first
