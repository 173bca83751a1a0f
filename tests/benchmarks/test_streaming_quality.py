"""The default schedule on the exact flow of a made-up speech, which has what could be heard at a seam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import ideal_flow
from benchmarks.ideal_flow import IdealFlow
from benchmarks.streamed_speech import Voice, flow_at_once
from benchmarks.streaming_quality import Setting, measure, utterances
from stream_omni.chunk_schedule import ChunkSchedule


@pytest.fixture(scope="module")
def ideal_voice(voice_runtime, voice_info, voices):
    info = replace(voice_info, flow=replace(voice_info.flow, guidance_rate=0.0, units=ideal_flow.UNITS))
    others = {name: voice_runtime.session(name) for name in ("f0_predictor", "vocoder")}
    return Voice(IdealFlow(others, info), info, next(iter(voices.values())))


def test_chunks_join_as_smoothly_as_the_whole_goes_on(ideal_voice):
    """And the measure would tell: without the two things that join mels, seams are the largest steps there are."""
    settings = [Setting(ChunkSchedule()), Setting(replace(ChunkSchedule(), fade_frames=0), conditioned=False)]
    found = measure(ideal_voice, utterances(("held",), ideal_flow.UNITS, 2, 70), settings, audible=False)
    joined, cut = found["settings"]
    control = joined["mel_step_there_in_the_whole"]
    assert joined["mel_step_at_blends"]["rank"] < control["rank"] + 3 * control["rank_error"]
    assert joined["mel_step_at_blends"]["max_ratio"] < 1.25
    assert cut["mel_step_at_blends"]["above_p95"] > 0.5


def test_the_ideal_flow_makes_what_it_was_defined_to_make(ideal_voice):
    """Another seed, another mood and detail; other units, other sounds. Their sizes are those that were put in."""
    (utterance,) = utterances(("held",), ideal_flow.UNITS, 1, 100)
    mel = flow_at_once(ideal_voice, utterance.units, 1)
    other_seed = flow_at_once(ideal_voice, utterance.units, 2)
    drawn_db = 20 / np.log(10) * np.sqrt(((mel - other_seed) ** 2).mean() / 2)
    assert 1.5 < drawn_db < 4  # mood 3 dB and 1 dB that is new in every frame, of which ten Euler steps make less
    deviation_db = 20 / np.log(10) * mel.std()
    assert 7 < deviation_db < 11  # sounds 8, melody 3, mood 3
