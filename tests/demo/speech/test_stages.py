"""The stages of speech leave what the others and the checkpoint take from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stream_omni_demo.checkpoint.folders import layout_of, trained_speech_tokenizer
from stream_omni_demo.pipeline import Workshop, read_record
from stream_omni_demo.speech import flow_stage, tokenizer_stage, vocoder_stage
from stream_omni_demo.speech.coded import REST_S, as_said, units_of
from stream_omni_demo.speech.stages import STAGES
from stream_omni_demo.speech.takes_stage import open_takes
from stream_omni_demo.speech.units_stage import open_units
from stream_omni_demo.voices.stages import open_corpus

from stream_omni.audio import SAMPLE_RATE_HZ
from stream_omni.cosyvoice_checkpoint import open_flow, open_hift
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.onnx_runtime import OnnxSession


def test_every_stage_was_made_and_measured(workshop: Workshop):
    record = read_record(workshop.folder)
    for stage in STAGES:
        assert all(np.isfinite(list(record[stage.name]["measured"].values()))), record[stage.name]
        stage.gate(record[stage.name]["measured"])


@pytest.mark.parametrize(("stage", "opened"), [("flow", open_flow), ("vocoder", open_hift)])
def test_trained_tensors_are_those_of_the_checkpoint(workshop: Workshop, stage: str, opened):
    trained = load_file(workshop.trained(stage))
    assert {name: tuple(t.shape) for name, t in trained.items()} == opened(layout_of(workshop).cosyvoice).shapes()
    half = {name: t.to(torch.float16) for name, t in trained.items()}
    assert all(bool(t.isfinite().all()) for t in half.values()), "the checkpoint holds them in half precision"


def test_units_are_what_the_exported_tokenizer_hears(workshop: Workshop):
    tokenizer = OnnxSession(trained_speech_tokenizer(workshop))
    coded, corpus = open_units(workshop), open_corpus(workshop)
    assert [each.utterance for each in coded] == list(corpus)
    for each in coded[::9]:
        samples = as_said(each.utterance)
        rest = REST_S * SAMPLE_RATE_HZ
        assert len(samples) == len(each.utterance.samples(SAMPLE_RATE_HZ)) + rest
        np.testing.assert_array_equal(each.clean, units_of(samples, tokenizer))
        assert len(each.heard) == (workshop.plan.renderings if each.utterance.kind == "question" else 0)
        for units in each.heard:  # at another speed, with silence on both sides
            assert len(units) != len(each.clean) or (units != each.clean).any()
            assert 0 <= units.min() <= units.max() < 512


def test_takes_have_a_frame_for_every_one_that_units_make(workshop: Workshop, info: ModelInfo):
    assert info.flow and info.vocoder
    clock, coded, corpus = MelClock.of(info.flow, info.vocoder), open_units(workshop), open_corpus(workshop)
    takes = open_takes(workshop)
    assert {corpus[take.place].voice for take in takes} == {"letters"}
    for take in takes:
        assert take.mel.shape == (take.frames, 80)
        assert len(take.samples) == 256 * take.frames
        assert take.frames >= clock.frames(len(coded[take.place].clean))


@pytest.mark.parametrize(
    ("gate", "good", "bad"),
    [
        (
            tokenizer_stage.gate,
            {"units_in_use": 300, "agreement": 1.0, "stable_in_noise": 0.6},
            {"units_in_use": 9, "agreement": 0.9, "stable_in_noise": 0.2},
        ),
        (
            vocoder_stage.gate,
            {"mel_error": 0.2, "voicing_error": 0.03, "peak": 0.7, "offset": 0.0001},
            {"mel_error": 1.0, "voicing_error": 0.3, "peak": 0.99, "offset": 0.1},
        ),
        (flow_stage.gate, {"sampled_error": 0.6, "mean_error": 0.6}, {"sampled_error": 0.9}),
    ],
    ids=["speech_tokenizer", "vocoder", "flow"],
)
def test_a_gate_names_each_fault(gate, good, bad):
    assert gate(good) == ""
    for name, value in bad.items():
        assert gate({**good, name: value}), name
