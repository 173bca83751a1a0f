"""The whole-utterance path against the recorded cases, and the source against them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from stream_omni.harmonic_source import frame_phases, harmonic_source
from stream_omni.noise import RecordedNoise, TurnNoise
from stream_omni.token2wav import euler_times, run_vocoder, synthesize

CASES = ["cosy_n1", "cosy_n10", "cosy_n38", "cosy_n41", "cosy_n100", "cosy_prompt"]
TOLERANCES = {"encoder_out": 1e-4, "mu": 1e-4, "est_cond0": 1e-4, "est_uncond0": 1e-4, "mel": 1e-3, "f0": 5e-2}


@pytest.mark.parametrize("name", CASES)
def test_a_whole_utterance_matches_the_recorded_case(name, fixtures_dir, voice_runtime, voice_info, voices):
    case = json.loads((fixtures_dir / "cases" / f"{name}.json").read_text())
    arrays = np.load(fixtures_dir / "cases" / f"{name}.npz")
    seen = {}
    waveform = synthesize(
        voice_runtime,
        voice_info,
        case["token"],
        voices[case["speaker"]],
        RecordedNoise(case["noise_seed"]),
        case["prompt_token"],
        arrays["prompt_feat"].T if case["n_prompt_frames"] else None,
        probe=lambda key, array: seen.__setitem__(key, array[0]),
    )
    np.testing.assert_allclose(seen["projected_speaker"], arrays["spk"], atol=1e-4)
    for key, tolerance in TOLERANCES.items():
        np.testing.assert_allclose(seen[key], arrays[key], atol=tolerance, err_msg=key)
    assert len(waveform) == case["n_samples"]
    error = np.sqrt(np.mean((waveform - arrays["wav"]) ** 2) / np.mean(arrays["wav"] ** 2))
    assert error < 5e-2


def test_the_ode_starts_from_the_temperature_times_the_noise(voice_runtime, voice_info, voices):
    class Quieter(TurnNoise):
        def flow(self, first_frame, frames, channels):
            return np.float32(0.25) * super().flow(first_frame, frames, channels)

    cool = replace(voice_info, flow=replace(voice_info.flow, temperature=0.25))
    speaker = next(iter(voices.values()))
    wanted = synthesize(voice_runtime, voice_info, range(12), speaker, Quieter(5))
    np.testing.assert_array_equal(synthesize(voice_runtime, cool, range(12), speaker, TurnNoise(5)), wanted)
    assert not np.array_equal(synthesize(voice_runtime, voice_info, range(12), speaker, TurnNoise(5)), wanted)


@pytest.mark.parametrize("name", CASES)
def test_the_source_matches_the_recorded_one(name, fixtures_dir, voice_info):
    case = json.loads((fixtures_dir / "cases" / f"{name}.json").read_text())
    arrays = np.load(fixtures_dir / "cases" / f"{name}.npz")
    sizes, noise, f0 = voice_info.vocoder, RecordedNoise(case["noise_seed"]), arrays["f0"][None]
    phases = frame_phases(f0, noise.phase(9)[None], np.zeros(1, int), sizes)
    source = harmonic_source(f0, phases, noise.sine(0, f0.shape[1], 9, 256)[None], sizes)
    np.testing.assert_allclose(source[0], arrays["source"], atol=2e-3)


def test_the_source_continues_at_any_cut(voice_info):
    """In two parts, the second with some frames of the first before it, as chunks have."""
    sizes, rng = voice_info.vocoder, np.random.default_rng(3)
    f0 = rng.uniform(0, 400, (2, 30)).astype(np.float32)
    f0[:, 4:9] = 0
    phase, noise = rng.uniform(0, 1, (2, 9)), rng.standard_normal((2, 9, 30 * 256)).astype(np.float32)
    phases = frame_phases(f0, phase, np.zeros(2, int), sizes)
    whole = harmonic_source(f0, phases, noise, sizes)
    for cut, context in ((1, 1), (8, 0), (17, 6)):
        begin = cut - context
        late = frame_phases(f0[:, begin:], phases[:, cut], np.full(2, context), sizes)
        part = harmonic_source(f0[:, begin:], late, noise[:, :, begin * 256 :], sizes)
        np.testing.assert_allclose(part, whole[:, begin * 256 :], atol=1e-6)


def test_euler_times_follow_the_cosine():
    times = euler_times()
    assert times.dtype == np.float32
    np.testing.assert_allclose(times, 1 - np.cos(np.linspace(0, 1, 11) * np.pi / 2), atol=1e-7)


class Counting:
    """A runtime that notes the batch size of each run of each graph."""

    def __init__(self, runtime):
        self.runtime, self.calls = runtime, []

    def session(self, graph):
        return CountingSession(graph, self.runtime.session(graph), self.calls)


class CountingSession:
    def __init__(self, graph, session, calls):
        self.graph, self.inner, self.calls = graph, session, calls

    def run(self, inputs, caches=()):
        self.calls.append((self.graph, len(next(iter(inputs.values())))))
        return self.inner.run(inputs, caches)


def test_no_units_make_no_samples_and_no_call(voice_runtime, voice_info, voices):
    runtime = Counting(voice_runtime)
    assert synthesize(runtime, voice_info, [], voices["英文女"], TurnNoise(0)).shape == (0,)
    assert runtime.calls == []


def test_guidance_is_one_batch_of_two(voice_runtime, voice_info, voices):
    runtime = Counting(voice_runtime)
    synthesize(runtime, voice_info, [5], voices["英文女"], TurnNoise(0))
    assert runtime.calls == [
        ("flow_encoder", 1),
        *[("flow_estimator", 2)] * 10,
        ("f0_predictor", 1),
        ("vocoder", 1),
    ]


def test_two_waveforms_at_once_equal_each_alone(voice_runtime, voice_info):
    rng, sessions = np.random.default_rng(0), [voice_runtime.session(n) for n in ("f0_predictor", "vocoder")]
    mel = rng.standard_normal((2, 80, 20)).astype(np.float32)
    phase, at = rng.uniform(0, 1, (2, 9)), np.array([3, 0])
    noise = rng.standard_normal((2, 9, 20 * 256)).astype(np.float32)
    together, phases = run_vocoder(*sessions, voice_info.vocoder, mel, phase, at, noise)
    for row in range(2):
        one = slice(row, row + 1)
        alone, ends = run_vocoder(*sessions, voice_info.vocoder, mel[one], phase[one], at[one], noise[one])
        assert np.sqrt(np.mean((together[row] - alone[0]) ** 2)) < 1e-3 * alone.std()
        np.testing.assert_allclose((phases[row] - ends[0] + 0.5) % 1, 0.5, atol=1e-4)
