"""What a case records of the voice: units to mel to waveform, a whole utterance at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_omni.harmonic_source import frame_phases, harmonic_source
from stream_omni.model_info import ModelInfo
from stream_omni.noise import RecordedNoise
from stream_omni.replay.cases import Case
from stream_omni.runtime.session import Array, Runtime
from stream_omni.token2wav import speech_sizes, synthesize


def observe_voice(case: Case, info: ModelInfo, runtime: Runtime, voices: dict[str, Array]) -> dict[str, Any]:
    """A ``vocoder`` case.

    Where the case holds them, ``source`` is made from the recorded f0 and ``wav`` from the recorded mel and source:
    the waveform amplifies differences in f0. ``wav_end_to_end`` is then the relative RMS of the difference without
    that help.
    """
    flow, vocoder = speech_sizes(info)
    noise, seen = RecordedNoise(case.fields["noise_seed"]), dict[str, Array]()
    prompt = case.arrays.get("prompt_feat")  # [P, mel]
    known = 0 if prompt is None else len(prompt)
    waveform = synthesize(
        runtime,
        info,
        case.fields["token"],
        voices[case.fields["speaker"]],
        noise,
        case.fields["prompt_token"],
        None if prompt is None else np.ascontiguousarray(prompt.T),
        probe=lambda name, array: seen.__setitem__(name, array[0]),
    )
    mel, f0, source = seen["mel"], seen["f0"], seen["source"]
    frames = mel.shape[-1]
    found: dict[str, Any] = {
        "n_prompt_frames": known,
        "n_frames": frames,
        "n_samples": len(waveform),
        "spk": seen["projected_speaker"],
        **{name: seen[name] for name in ("encoder_out", "mu", "est_cond0", "est_uncond0", "mel", "f0")},
        "phase": noise.phase(vocoder.harmonics) * 2 * np.pi,
        "z_first8": noise.flow(0, known + frames, flow.mel_channels)[:2, :8],
        "f0_voicing_margin": float(np.abs(f0 - vocoder.voiced_threshold_hz).min()),
        "voiced_fraction": float((f0 > vocoder.voiced_threshold_hz).mean()),
        "mel_mean": float(mel.mean(dtype=np.float64)),
        "mel_std": float(mel.std(dtype=np.float64, ddof=1)),
    }
    if "f0" in case.arrays:
        f0, phase = case.arrays["f0"][None], noise.phase(vocoder.harmonics)[None]
        phases = frame_phases(f0, phase, np.zeros(1, np.int64), vocoder)
        sines = noise.sine(0, frames, vocoder.harmonics, vocoder.hop_samples)[None]
        source = harmonic_source(f0, phases, sines, vocoder)[0]
    found["source"] = source
    if "wav" in case.arrays:
        recorded = case.arrays["wav"]
        found["wav_end_to_end"] = float(np.sqrt(np.mean((waveform - recorded) ** 2) / np.mean(recorded**2)))
        inputs = {"mel": case.arrays["mel"][None], "source": case.arrays["source"][None]}
        waveform = runtime.session("vocoder").run(inputs)["waveform"][0]
    return {
        **found,
        "wav": waveform,
        "wav_std": float(waveform.std(dtype=np.float64, ddof=1)),
        "clipped_fraction": float((np.abs(waveform) >= vocoder.audio_limit).mean()),
    }
