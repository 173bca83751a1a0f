"""Speech units to a waveform: the flow's ODE, the vocoder, and both for a whole utterance.

Everything here is for a batch of equal lengths; :mod:`stream_omni.speech_chunks` sorts chunks into such batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_omni.harmonic_source import frame_phases, harmonic_source
from stream_omni.mel_clock import MelClock, Places
from stream_omni.model_info import FlowSizes, ModelInfo, VocoderSizes
from stream_omni.noise import Noise
from stream_omni.runtime.memory import Held, Memory, memory_of
from stream_omni.runtime.session import Array, Runtime, Session

EULER_STEPS = 10

Probe = Callable[[str, Array], None]  # receives named intermediate arrays, for replay
FloatArray = NDArray[np.float32]


def speech_sizes(info: ModelInfo) -> tuple[FlowSizes, VocoderSizes]:
    """Raises ValueError where the checkpoint was described without a CosyVoice directory."""
    if info.flow is None or info.vocoder is None:
        raise ValueError(f"{info.name} was built without CosyVoice, so it has no voice; build it with --cosyvoice")
    return info.flow, info.vocoder


def euler_times() -> FloatArray:
    """The ODE's times, dense at its beginning: [EULER_STEPS + 1] from 0 to 1."""
    steps = np.linspace(0, 1, EULER_STEPS + 1, dtype=np.float32)
    times: FloatArray = (1 - np.cos(steps * np.float32(0.5 * np.pi))).astype(np.float32)
    return times


def run_flow(
    encoder: Session,
    estimator: Session,
    sizes: FlowSizes,
    units: Array,
    speakers: Array,
    places: Sequence[Places],
    condition: Array,
    noise: Array,
    probe: Probe | None = None,
) -> FloatArray:
    """Mel frames [B, mel, T] of B unit windows.

    ``units`` int64 [B, N]; ``speakers`` [B, speaker_size]; ``places`` B of T frames; ``condition`` [B, mel, T]: frames
    that are known already, 0 elsewhere; ``noise`` [B, mel, T], normal: what the ODE starts from. Each Euler step is one
    estimator call of 2 B rows, B conditional ones and B without any condition (classifier-free guidance, Ho and
    Salimans 2022).
    """
    encoded = encoder.run(
        {
            "units": units,
            "speaker": speakers,
            "left": np.stack([p.left for p in places]),
            "right": np.stack([p.right for p in places]),
            "weight": np.stack([p.weight for p in places]),
        }
    )
    if probe:
        for name, array in encoded.items():
            probe(name, array)
    memory = memory_of(estimator)  # in which all steps stay
    fixed = {
        "mu": _and_nothing(encoded["mu"], memory),
        "speaker": _and_nothing(encoded["projected_speaker"], memory),
        "condition": _and_nothing(condition, memory),
    }
    x, batch, times = memory.put(np.float32(sizes.temperature) * noise), len(units), euler_times()
    time, rate = np.float32(0), np.float32(sizes.guidance_rate)
    for step in range(EULER_STEPS):
        moment = np.full(2 * batch, time, np.float32)
        velocity = estimator.run({"x": memory.join([x, x]), **fixed, "time": moment})["velocity"]
        guided, unguided = velocity[:batch], velocity[batch:]
        if probe and step == 0:
            probe("est_cond0", memory.fetch(guided))
            probe("est_uncond0", memory.fetch(unguided))
        span = times[step + 1] - time
        with memory.ordered():  # plain numbers, which arrays of every memory take
            x = x + float(span) * (float(1 + rate) * guided - float(rate) * unguided)
        time = time + span
    mel: FloatArray = memory.fetch(x)
    return mel


def _and_nothing(conditions: Array, memory: Memory) -> Held:
    return memory.put(np.concatenate([conditions, np.zeros_like(conditions)]))


def run_vocoder(
    f0_predictor: Session,
    vocoder: Session,
    sizes: VocoderSizes,
    mel: Array,
    phase: Array,
    phase_at: Array,
    noise: Array,
    probe: Probe | None = None,
) -> tuple[FloatArray, NDArray[np.float64]]:
    """Waveforms [B, hop * T] of mel windows [B, mel, T], and the harmonics' phases at each frame [B, T+1, harmonics].

    ``phase`` [B, harmonics] cycles at the beginning of frame ``phase_at`` int [B]; ``noise`` [B, harmonics, hop * T].
    """
    f0 = f0_predictor.run({"mel": mel})["f0"]
    phases = frame_phases(f0, phase, phase_at, sizes)
    source = harmonic_source(f0, phases, noise, sizes)
    if probe:
        probe("f0", f0)
        probe("source", source)
    return vocoder.run({"mel": mel, "source": source})["waveform"], phases


def synthesize(
    runtime: Runtime,
    info: ModelInfo,
    units: Sequence[int],
    speaker: Array,
    noise: Noise,
    prompt_units: Sequence[int] = (),
    prompt_mel: Array | None = None,
    probe: Probe | None = None,
) -> FloatArray:
    """The reference's way: a whole utterance at once; its waveform [hop * frames], empty without units.

    ``speaker`` [speaker_size]; ``prompt_mel`` [mel, P]: frames of ``prompt_units``, which the utterance continues.
    ``probe`` receives "encoder_out", "projected_speaker", "mu", "est_cond0", "est_uncond0", "mel", "f0" and "source",
    each with a leading batch axis of 1.
    """
    flow, sizes = speech_sizes(info)
    if not units:
        return np.zeros(0, np.float32)
    prompt = np.zeros((flow.mel_channels, 0), np.float32) if prompt_mel is None else prompt_mel
    known = prompt.shape[1]
    places = MelClock.of(flow, sizes).whole(len(units), len(prompt_units), known)
    condition = np.zeros((1, flow.mel_channels, places.frames), np.float32)
    condition[0, :, :known] = prompt
    mel = run_flow(
        runtime.session("flow_encoder"),
        runtime.session("flow_estimator"),
        flow,
        np.array([*prompt_units, *units], np.int64)[None],
        speaker[None],
        [places],
        condition,
        noise.flow(0, places.frames, flow.mel_channels)[None],
        probe,
    )[..., known:]
    mel, frames = np.ascontiguousarray(mel), mel.shape[-1]
    if probe:
        probe("mel", mel)
    waveform, _ = run_vocoder(
        runtime.session("f0_predictor"),
        runtime.session("vocoder"),
        sizes,
        mel,
        noise.phase(sizes.harmonics)[None],
        np.zeros(1, np.int64),
        noise.sine(0, frames, sizes.harmonics, sizes.hop_samples)[None],
        probe,
    )
    alone: FloatArray = waveform[0]
    return alone
