"""The demo checkpoint's directories: the real layout, half precision, trained tensors over random ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from stream_omni_build.graph_options import names_units
from stream_omni_demo.checkpoint.folders import demo_info, layout_of, packed_of, trained_speech_tokenizer
from stream_omni_demo.checkpoint.stages import LAST, TRAINED_BY, make_layout, make_packed
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.plan import SMOKE
from stream_omni_demo.sizes import DEMO, SYSTEM_PROMPT

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.cosyvoice_checkpoint import read_voices
from stream_omni.networks.needs import needed_tensors
from stream_omni.tokenizer import Tokenizer


def test_the_layout_is_read_as_what_was_planned(laid_out: Workshop) -> None:
    info = demo_info(laid_out)
    assert (info.llama, info.vision) == (DEMO.llama, DEMO.vision)
    assert info.image.aspect_ratio == "pad" and info.image.merge_type == "flat"
    assert info.system_prompt == SYSTEM_PROMPT
    assert (info.vocabulary.size, info.vocabulary.text_size) == (DEMO.vocabulary, DEMO.text_vocabulary)
    assert info.flow is not None and info.flow.units == DEMO.units
    assert info.default_voice in read_voices(layout_of(laid_out).cosyvoice / "spk2info.pt", info.flow.speaker_size)
    tokenizer = Tokenizer(layout_of(laid_out).language)
    assert names_units(tokenizer, info)
    question = "What colour is the circle on the left?"
    assert tokenizer.decode(tokenizer.encode(question)) == question


def test_every_tensor_is_needed_and_in_half_precision(laid_out: Workshop) -> None:
    layout, info = layout_of(laid_out), demo_info(laid_out)
    with safe_open(layout.language / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    sources = open_sources(layout.language, layout.cosyvoice)
    for source, needed in needed_tensors(info).items():
        assert dict(sources[source].shapes()) == needed
        assert all(sources[source].get(name).dtype == np.float32 for name in needed)
    for name in ("flow.pt", "hift.pt"):
        state = torch.load(layout.cosyvoice / name, weights_only=True)
        assert {tensor.dtype for tensor in state.values()} == {torch.float16}


def test_the_same_seed_gives_the_same_bytes(laid_out: Workshop, tmp_path: Path) -> None:
    again = Workshop(tmp_path, SMOKE)
    measured = make_layout(again)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 11
    for file in files:
        assert (laid_out.folder / file).read_bytes() == (tmp_path / file).read_bytes(), file
    assert 15 < measured["megabytes"] < 25


@pytest.fixture
def trained(laid_out: Workshop, tmp_path: Path) -> Workshop:
    """As if every stage had made each of its tensors a constant."""
    shutil.copytree(laid_out.folder / "layout", tmp_path / "layout")
    workshop = Workshop(tmp_path, SMOKE)
    (tmp_path / "trained").mkdir()
    needed = needed_tensors(demo_info(workshop))
    for source, stages in TRAINED_BY.items():
        for number, stage in enumerate(stages, start=1):
            values = {name: torch.full(shape, number / 3) for name, shape in needed[source].items()}
            if stage == "llm":
                values = {name: value for name, value in values.items() if not name.startswith("audio_")}
            save_file(values, workshop.trained(stage))
    shutil.copyfile(layout_of(workshop).cosyvoice / "speech_tokenizer_v1.onnx", trained_speech_tokenizer(workshop))
    return workshop


def test_what_was_trained_last_is_packed_rounded(trained: Workshop) -> None:
    workshop = trained
    last = workshop.trained("top")
    last.unlink()
    save_file({"model.top_audio_norm.weight": torch.full((DEMO.llama.hidden,), 1.0001)}, last)
    measured = make_packed(workshop)
    packed = packed_of(workshop)
    sources = open_sources(packed.language, packed.cosyvoice)
    third = float(torch.tensor(1 / 3).half())
    assert (sources["model"].get("audio_lm_head.weight") == third).all(), "by the first stage, and no later one"
    assert (sources["model"].get("lm_head.weight") == float(torch.tensor(2 / 3).half())).all()
    assert (sources["model"].get("model.top_audio_norm.weight") == 1.0).all()
    assert (sources["flow"].get("encoder_proj.bias") == third).all()
    assert measured["untrained_tensors"] == 0 and not LAST.gate(measured)
    info, layout = read_model_info(packed.language, packed.cosyvoice), demo_info(workshop)
    assert (info.vocabulary, info.default_voice) == (layout.vocabulary, layout.default_voice)
    voices = [read_voices(of(workshop).cosyvoice / "spk2info.pt", 192) for of in (packed_of, layout_of)]
    np.testing.assert_array_equal(*(voice[info.default_voice] for voice in voices))


def test_what_no_stage_has_trained_stops_at_the_gate(trained: Workshop) -> None:
    workshop = trained
    for stage in TRAINED_BY["model"]:
        workshop.trained(stage).unlink()
        save_file({"lm_head.weight": torch.zeros(DEMO.text_vocabulary, DEMO.llama.hidden)}, workshop.trained(stage))
    assert "tensors are as random as before" in LAST.gate(make_packed(workshop))


def test_tensors_that_cannot_be_packed_are_named(trained: Workshop) -> None:
    workshop = trained
    save_file({"encoder_proj.bias": torch.full((80,), 1e5)}, workshop.trained("flow"))
    with pytest.raises(ValueError, match=r"encoder_proj.bias reaches 100000, which half precision does not hold"):
        make_packed(workshop)
    save_file({"stray.weight": torch.zeros(2)}, workshop.trained("flow"))
    with pytest.raises(ValueError, match=r"flow left tensors of no place: stray.weight"):
        make_packed(workshop)
