"""Speech in chunks against the whole, on the tiny checkpoint: its waveform is no speech, but seams would show."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_omni_eval.seams import Changes, SeamValues, compare_seams

from stream_omni.chunk_schedule import ChunkSchedule, vocoder_reach_frames
from stream_omni.mel_clock import MelClock
from stream_omni.noise import TurnNoise
from stream_omni.speech_chunks import ChunkPlan, fade_in, join, run_flow_chunks, run_vocoder_chunks
from stream_omni.speech_stream import SpeechStream
from stream_omni.token2wav import run_vocoder, synthesize

CLOCK = MelClock(unit_rate_hz=25, sample_rate_hz=22050, hop_samples=256)
SCHEDULES = [
    ChunkSchedule(),
    ChunkSchedule(first_units=6, growth=1.0, largest_units=6, context_units=6, lookahead_units=8, fade_frames=3),
    ChunkSchedule(first_units=20, growth=2.5, largest_units=200, context_units=12, lookahead_units=12, fade_frames=20),
]


class Speech:
    """A stream driven to its end, and what the chunks looked like."""

    def __init__(self, runtime, info, speaker, units, seed=0, schedule=None, step=7):
        self.runtime, self.info = runtime, info
        self.stream = SpeechStream(info, speaker, seed, schedule)
        self.chunks, self.mels, self.pieces = [], [], []
        for i in range(0, len(units), step):
            self.stream.append(units[i : i + step])
            self.drain()
        self.stream.finish()
        self.drain()
        assert self.stream.done

    def drain(self):
        while (chunk := self.stream.next_chunk()) is not None:
            assert self.stream.next_chunk() is None  # one under way at a time
            outputs = run_stages(self.runtime, self.info, [chunk])[0]
            self.chunks.append(chunk)
            self.mels.append(outputs["mel"])
            self.pieces.append(self.stream.accept(outputs))

    @property
    def samples(self):
        return np.concatenate([piece.samples for piece in self.pieces])

    @property
    def mel(self):
        plans = [ChunkPlan.of(chunk) for chunk in self.chunks]
        return np.concatenate([m[:, p.begin : p.end] for m, p in zip(self.mels, plans, strict=True)], axis=1)

    @property
    def seams(self):
        return np.cumsum([len(piece.samples) for piece in self.pieces])[:-1]


def run_stages(runtime, info, chunks):
    s = runtime.session
    mels = run_flow_chunks(s("flow_encoder"), s("flow_estimator"), info, chunks)
    chunks = [{**chunk, "mel": mel} for chunk, mel in zip(chunks, mels, strict=True)]
    outputs = run_vocoder_chunks(s("f0_predictor"), s("vocoder"), info, chunks)
    return [{"mel": mel, **found} for mel, found in zip(mels, outputs, strict=True)]


@pytest.fixture(scope="module")
def speak(voice_runtime, voice_info, voices):
    speaker = next(iter(voices.values()))
    return lambda units, **options: Speech(voice_runtime, voice_info, speaker, units, **options)


def some_units(count, seed=0):
    return np.random.default_rng([count, seed]).integers(0, 4096, count).tolist()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("count", [1, 12, 27, 70])
def test_pieces_have_together_the_samples_and_units_of_the_whole(count, schedule, speak):
    speech = speak(some_units(count), schedule=schedule)
    assert len(speech.samples) == 256 * CLOCK.frames(count)
    assert [u for piece in speech.pieces for u in piece.units] == some_units(count)
    starts = np.concatenate([[0], speech.seams])
    assert [piece.start_ms for piece in speech.pieces] == [round(1000 * s / 22050) for s in starts]
    assert [piece.first_unit for piece in speech.pieces] == np.cumsum(
        [0, *(len(piece.units) for piece in speech.pieces[:-1])]
    ).tolist()


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 400),
    first=st.integers(1, 40),
    growth=st.floats(1, 3),
    fade=st.integers(0, 10),
    data=st.data(),
)
def test_any_schedule_plans_every_sample_once_from_settled_frames(voice_info, count, first, growth, fade, data):
    """The stages replaced by their shapes: only the plan is looked at."""
    schedule = ChunkSchedule(
        first, growth, first + 60, data.draw(st.integers(6, 40)), data.draw(st.integers(9, 30)), fade
    )
    stream = SpeechStream(voice_info, np.zeros(192, np.float32), 0, schedule)
    stream.append(some_units(count))
    stream.finish()
    emitted, settled = 0, 0
    while (chunk := stream.next_chunk()) is not None:
        plan, frames = ChunkPlan.of(chunk), CLOCK.frames
        origin = frames(plan.first_unit)
        width = frames(plan.first_unit + len(chunk["units"])) - origin
        assert origin + plan.begin == emitted
        assert plan.settled == (settled - origin if emitted else 0)
        assert chunk["earlier"].shape[1] == max(1, plan.settled + plan.faded)
        assert 0 <= plan.heard_begin <= plan.begin < plan.end <= plan.heard_end <= width
        assert (plan.heard_begin == 0 and origin == 0) or plan.begin - plan.heard_begin == 19
        emitted = origin + plan.end
        if emitted < frames(count):
            settled = origin + plan.heard_end
            assert settled - emitted == vocoder_reach_frames(voice_info.vocoder)
            assert settled + fade <= origin + width
        stream.accept(
            {
                "mel": np.zeros((80, width)),
                "samples": np.zeros(256 * (plan.end - plan.begin)),
                "next_phase": np.zeros(9),
            }
        )
    assert stream.done
    assert emitted == CLOCK.frames(count)


class KnownF0:
    """Stands for the F0 predictor: for a window of a mel whose F0 is known, that F0."""

    def __init__(self, mel, f0):
        self.mel, self.f0 = mel, f0

    def run(self, inputs, caches=()):
        window = inputs["mel"][0]
        count = window.shape[1]
        begin = next(t for t in range(len(self.f0)) if np.array_equal(self.mel[:, t : t + count], window))
        return {"f0": self.f0[None, begin : begin + count]}


@pytest.fixture(scope="module", params=zip(SCHEDULES, (250, 60, 60), strict=True))
def long_speech(request, speak):
    """Ten seconds with the default schedule, shorter with others."""
    schedule, count = request.param
    speech = speak(some_units(count), seed=3, schedule=schedule)
    assert len(speech.pieces) > 1
    return speech


@pytest.fixture(scope="module")
def vocoded_whole(long_speech, voice_runtime, voice_info):
    """The joined mel at once: samples [N], phases [T+1, harmonics], F0 [T]."""
    noise, mel, seen = TurnNoise(3), long_speech.mel[None], {}
    waveform, phases = run_vocoder(
        voice_runtime.session("f0_predictor"),
        voice_runtime.session("vocoder"),
        voice_info.vocoder,
        mel,
        noise.phase(9)[None],
        np.zeros(1, int),
        noise.sine(0, mel.shape[2], 9, 256)[None],
        seen.__setitem__,
    )
    return np.round(waveform[0] * 32767), phases[0], seen["f0"][0]


def test_seams_are_exact_but_for_the_rounding_of_f0(long_speech, vocoded_whole, voice_runtime, voice_info):
    """Given the whole's F0, chunks make the whole's samples, seams included, however many came before."""
    whole, _, f0 = vocoded_whole
    known_f0, vocoder = KnownF0(long_speech.mel, f0), voice_runtime.session("vocoder")
    phase, samples = long_speech.chunks[0]["phase"], []
    for chunk, mel in zip(long_speech.chunks, long_speech.mels, strict=True):
        heard = {**chunk, "mel": mel, "phase": phase}
        found = run_vocoder_chunks(known_f0, vocoder, voice_info, [heard])[0]
        samples.append(found["samples"])
        phase = found["next_phase"]
    assert np.abs(whole - np.concatenate(samples)).max() <= 4


def test_rounding_of_f0_adds_up_to_nothing_audible(long_speech, vocoded_whole):
    """F0 in single precision differs by 1e-4 Hz between windows; its sum, the phase, wanders by as much over time."""
    whole, phases, _ = vocoded_whole
    for chunk, seam in zip(long_speech.chunks[1:], long_speech.seams // 256, strict=True):
        drift = (chunk["phase"] - phases[seam] + 0.5) % 1 - 0.5  # cycles
        assert np.abs(drift).max() < 1e-3  # of the ninth harmonic, 0.4 degrees
    error = whole - long_speech.samples
    assert np.sqrt(np.mean(error**2)) < 10 ** (-45 / 20) * np.sqrt(np.mean(whole**2))


def test_no_seam_is_louder_than_the_signals_own_changes(speak):
    """The default schedule: ranks of level, spectrum and curvature at seams, and where chunks' mels blend, among the
    same signal's other frames. Were seams like other places, their mean would be 0.5 and a twentieth above 0.95."""
    schedule, reach = ChunkSchedule(), 19
    compared = defaultdict(list)
    for seed in range(4):
        speech = speak(some_units(60, seed), seed=seed)
        seams = speech.seams // 256
        assert len(seams) >= 4
        frames = np.arange(len(speech.samples) // 256)[:, None]
        at = ((frames >= seams - 1) & (frames <= seams + 1)).any(axis=1)
        blended = ((frames >= seams + reach) & (frames <= seams + reach + schedule.fade_frames)).any(axis=1)
        for name, values in Changes.of(speech.samples / 32768).by_name().items():
            for place, marks in (("seams", at), ("blends", blended)):
                compared[f"{name} at {place}"].append(SeamValues.split(values, marks, ~(at | blended)))
    for what, values in compared.items():
        found = compare_seams(values)
        assert found["rank"] < 0.5 + 3 * found["rank_error"], (what, found)
        assert found["above_p95"] < 0.15, (what, found)
        assert found["max_ratio"] < 1.5, (what, found)


def test_an_answer_that_ends_early_is_the_whole_utterance_path(speak, voice_runtime, voice_info, voices):
    units = some_units(ChunkSchedule().first_units + ChunkSchedule().lookahead_units)
    speech = speak(units, seed=9, step=1)
    assert len(speech.pieces) == 1
    offline = synthesize(voice_runtime, voice_info, units, next(iter(voices.values())), TurnNoise(9))
    np.testing.assert_array_equal(speech.samples, np.round(offline * 32767))


def test_no_units_make_no_chunk(speak):
    assert speak([]).pieces == []


@pytest.mark.parametrize("count", [14, 15, 49, 80])
def test_the_timing_of_units_changes_no_sample(count, speak):
    slow, fast = speak(some_units(count), step=1), speak(some_units(count), step=1000)
    np.testing.assert_array_equal(slow.samples, fast.samples)


def test_a_batch_of_chunks_equals_each_alone(speak, voice_runtime, voice_info):
    """Unequal windows too, which the stages sort apart."""
    answers = [speak(some_units(40, seed), seed=seed) for seed in range(3)]
    chunks = [c for speech in answers for c in speech.chunks]
    alone = [
        {"mel": m, "samples": p.samples} for speech in answers for m, p in zip(speech.mels, speech.pieces, strict=True)
    ]
    for together, single in zip(run_stages(voice_runtime, voice_info, chunks), alone, strict=True):
        np.testing.assert_allclose(together["mel"], single["mel"], atol=1e-4)
        difference = together["samples"].astype(float) - single["samples"]
        assert np.sqrt(np.mean(difference**2)) < 1e-3 * single["samples"].std()


def test_the_fade_keeps_what_both_agree_on():
    mel = np.random.default_rng(0).standard_normal((80, 30)).astype(np.float32)
    plan = ChunkPlan(0, 0, settled=10, faded=8, heard_begin=0, heard_end=30, begin=0, end=30)
    np.testing.assert_allclose(join(mel[:, :18], mel, plan), mel, atol=1e-6)
    joined = join(np.zeros_like(mel[:, :18]), np.ones_like(mel), plan)[0]
    assert np.all(np.diff(joined) >= 0)
    assert joined[9] == 0 < joined[10]
    assert joined[17] < 1 == joined[18]
    np.testing.assert_allclose(fade_in(8) + fade_in(8)[::-1], 1, atol=1e-6)


def test_the_vocoder_hears_no_farther_than_its_reach(voice_runtime, voice_info):
    reach, rng = vocoder_reach_frames(voice_info.vocoder), np.random.default_rng(1)
    mel = rng.standard_normal((1, 80, 2 * reach + 1)).astype(np.float32)
    wider = np.concatenate([mel[..., :1] + 3, mel, mel[..., :1] - 3], axis=2)
    noise = rng.standard_normal((1, 9, wider.shape[2] * 256)).astype(np.float32)
    sessions = (voice_runtime.session("f0_predictor"), voice_runtime.session("vocoder"))
    phase = rng.uniform(0, 1, (1, 9))
    at = np.array([reach])
    narrow, _ = run_vocoder(*sessions, voice_info.vocoder, mel, phase, at, noise[..., 256:-256])
    wide, _ = run_vocoder(*sessions, voice_info.vocoder, wider, phase, at + 1, noise)
    middle = slice(256 * reach, 256 * (reach + 1))
    np.testing.assert_allclose(wide[0, 256:-256][middle], narrow[0, middle], atol=2e-3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lookahead_units": 4}, "lookahead_units 4 make 13 frames; the vocoder hears 19 and fade_frames takes 8 more"),
        ({"context_units": 2}, "context_units 2 make 6 frames; the vocoder hears 19"),
        ({"first_units": 0}, "a first chunk of 0 units"),
        ({"growth": 0.5}, "chunks must not shrink"),
        ({"fade_frames": -1}, "must not be negative"),
    ],
)
def test_a_schedule_that_cannot_join_is_refused(options, says, voice_info):
    with pytest.raises(ValueError, match=says):
        SpeechStream(voice_info, np.zeros(192, np.float32), 0, ChunkSchedule(**options))


def test_bad_units_are_refused(voice_info):
    stream = SpeechStream(voice_info, np.zeros(192, np.float32), 0)
    with pytest.raises(ValueError, match=r"4096 is not in 0 \.\.\. 4095"):
        stream.append([4096])
    stream.finish()
    with pytest.raises(ValueError, match="after the end"):
        stream.append([1])
