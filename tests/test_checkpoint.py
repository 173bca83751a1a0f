"""Reading checkpoints: both layouts, where sizes and ids come from, and what is said when something is wrong."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stream_omni.checkpoint import open_sources, read_image_layout, read_model_info
from stream_omni.checkpoint_files import CheckpointError
from stream_omni.model_info import Rope, VisionSizes
from stream_omni.networks import make_network
from stream_omni.networks.weights import load_weights
from stream_omni.tensor_files import CheckpointTensors

Edit = Callable[[dict[str, Any]], object]


def edit_json(path: Path, edit: Edit) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    edit(values)
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture
def settings(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint with its small files copied, so that a test may change them."""
    copy = tmp_path / "checkpoint"
    (copy / "siglip-tiny").mkdir(parents=True)
    for name in ("config.json", "generation_config.json", "siglip-tiny/config.json"):
        (copy / name).write_bytes((tiny_checkpoint / name).read_bytes())
    (copy / "model.safetensors").symlink_to(tiny_checkpoint / "model.safetensors")
    return copy


def write_tokenizer(checkpoint: Path, ids: dict[str, int]) -> None:
    tokens = [{"content": content, "id": i} for content, i in ids.items()]
    (checkpoint / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}), encoding="utf-8")


def write_sharded(tiny_checkpoint: Path, out: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Two shards and their index, with the tensors as ``edit`` leaves them."""
    (out / "model.safetensors").unlink()
    tensors = load_file(tiny_checkpoint / "model.safetensors")
    edit(tensors)
    names = sorted(tensors)
    places = {}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"model-{i:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, out / shard)
        places |= dict.fromkeys(part, shard)
    (out / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")


def test_sizes_and_ids_of_the_tiny_checkpoint(tiny_checkpoint, tiny_cosyvoice):
    info = read_model_info(tiny_checkpoint, tiny_cosyvoice)
    assert (info.llama.bottom_layers, info.llama.llm_layers, info.llama.top_layers) == (2, 4, 2)
    assert info.llama.rope == Rope(500000.0, 8.0, 1.0, 4.0, 8192)
    vocabulary = info.vocabulary
    assert (vocabulary.size, vocabulary.text_size, vocabulary.unit_offset) == (132352, 132352, 128256)
    assert (vocabulary.bos, vocabulary.eot, vocabulary.blank) == (128000, 128009, 128002)
    assert vocabulary.eos == (128001, 128008, 128009)
    assert info.vision == VisionSizes(32, 64, 2, 2, 384, 14, 1e-6)
    assert info.context_tokens == 32768
    assert info.system_prompt.startswith("You are a helpful language and vision assistant.")
    assert info.flow is not None and info.vocoder is not None and info.default_voice


def test_the_text_vocabulary_is_what_the_tensors_hold(tiny_checkpoint_128256, tmp_path):
    assert read_model_info(tiny_checkpoint_128256).vocabulary.text_size == 128256
    edit_target = tmp_path / "checkpoint"
    edit_target.mkdir()
    for path in tiny_checkpoint_128256.iterdir():
        (edit_target / path.name).symlink_to(path)
    (edit_target / "config.json").unlink()
    config = json.loads((tiny_checkpoint_128256 / "config.json").read_text(encoding="utf-8"))
    (edit_target / "config.json").write_text(json.dumps({**config, "text_vocab_size": 1}), encoding="utf-8")
    assert read_model_info(edit_target).vocabulary.text_size == 128256


def test_special_ids_come_by_name_from_the_tokenizer(settings):
    write_tokenizer(settings, {"<|begin_of_text|>": 5, "<|eot_id|>": 6, "<|reserved_special_token_0|>": 7})
    vocabulary = read_model_info(settings).vocabulary
    assert (vocabulary.bos, vocabulary.eot, vocabulary.blank) == (5, 6, 7)


def test_special_ids_come_from_the_configuration_where_the_tokenizer_names_none(settings):
    write_tokenizer(settings, {"<s>": 1})
    edit_json(settings / "config.json", lambda c: c.update(bos_token_id=8, eot_token_id=9, blank_token_id=10))
    vocabulary = read_model_info(settings).vocabulary
    assert (vocabulary.bos, vocabulary.eot, vocabulary.blank) == (8, 9, 10)


def test_a_tokenizer_without_a_known_token_is_an_error_not_the_references_id(settings):
    write_tokenizer(settings, {"<|begin_of_text|>": 5, "<|eot_id|>": 6})
    with pytest.raises(CheckpointError, match=r"no token <\|reserved_special_token_0\|>.*blank_token_id"):
        read_model_info(settings)


def test_the_end_ids_may_stand_in_either_configuration(settings):
    edit_json(settings / "generation_config.json", lambda c: c.update(eos_token_id=7))
    assert read_model_info(settings).vocabulary.eos == (7,)
    (settings / "generation_config.json").unlink()
    assert read_model_info(settings).vocabulary.eos == (128001, 128008, 128009)


def test_the_configuration_may_choose_prompt_and_voice(settings, tiny_cosyvoice):
    from stream_omni.cosyvoice_checkpoint import read_cosyvoice

    voice = list(read_cosyvoice(tiny_cosyvoice)[2])[-1]
    edit_json(settings / "config.json", lambda c: c.update(system_prompt="请简短回答。", default_voice=voice))
    info = read_model_info(settings, tiny_cosyvoice)
    assert (info.system_prompt, info.default_voice) == ("请简短回答。", voice)


def test_a_vision_tower_outside_the_checkpoint_has_siglips_own_sizes(settings):
    edit_json(settings / "config.json", lambda c: c.update(mm_vision_tower="google/siglip-so400m-patch14-384"))
    assert read_model_info(settings).vision == VisionSizes(1152, 4304, 16, 26, 384, 14, 1e-6)
    edit_json(settings / "config.json", lambda c: c.update(mm_vision_tower="../checkpoint/siglip-tiny"))
    assert read_model_info(settings).vision.width == 32


def test_the_forms_of_grid_pinpoints():
    def read(pinpoints: object) -> tuple[tuple[int, int], ...]:
        return read_image_layout(
            {"image_aspect_ratio": "anyres", "image_grid_pinpoints": pinpoints}, 384
        ).grid_pinpoints

    assert read([[384, 768]]) == read("[[384, 768]]") == ((384, 768),)
    counted = read("(1x1),...,(6x6)")
    assert len(counted) == 36
    assert counted[:3] == ((384, 384), (384, 768), (384, 1152))  # the width is the outer loop
    assert counted[-1] == (2304, 2304)
    for wrong in ("six by six", [1, 2], None):
        with pytest.raises(CheckpointError, match="image_grid_pinpoints"):
            read(wrong)


def test_an_absent_layout_is_a_plain_resize_and_flat():
    layout = read_image_layout({}, 384)
    assert (layout.aspect_ratio, layout.merge_type, layout.grid_pinpoints) == ("square", "flat", ())


@pytest.mark.parametrize(
    "layout",
    [{"image_aspect_ratio": "highres"}, {"image_aspect_ratio": "crop_split"}, {"mm_patch_merge_type": "max"}],
    ids=str,
)
def test_a_layout_that_is_not_supported_is_refused_when_it_is_read(layout: dict[str, str]):
    with pytest.raises(CheckpointError, match=rf"{next(iter(layout.values()))}.* is not supported; use pad"):
        read_image_layout(layout, 384)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.pop("hidden_size"), "hidden_size is missing; it must be a whole number"),
        (lambda c: c.update(vocab_size="many"), "vocab_size is 'many'; it must be a whole number"),
        (lambda c: c.update(hidden_act="gelu"), "hidden_act is 'gelu'; it must be 'silu'"),
        (lambda c: c["rope_scaling"].update(rope_type="yarn"), "rope_type is 'yarn'; it must be 'llama3'"),
        (lambda c: c.update(mm_projector_type="linear"), "mm_projector_type is 'linear'; it must be 'mlp2x_gelu'"),
        (lambda c: c.update(blank_token_id=200000), "blank id 200000 is no row of the text table"),
    ],
)
def test_a_wrong_entry_is_named(settings, edit, message):
    edit_json(settings / "config.json", edit)
    with pytest.raises(CheckpointError, match=message):
        read_model_info(settings)


def test_missing_files_are_named_with_what_belongs_there(settings, tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere is no directory"):
        read_model_info(tmp_path / "nowhere")
    (settings / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"neither model.safetensors nor .*a Stream-Omni directory holds"):
        read_model_info(settings)
    (settings / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config.json is missing: a Stream-Omni directory holds"):
        read_model_info(settings)


def test_a_truncated_file_is_named(settings, tiny_checkpoint):
    (settings / "model.safetensors").unlink()
    for size in (4, 100, 1_000_000):
        (settings / "model.safetensors").write_bytes((tiny_checkpoint / "model.safetensors").read_bytes()[:size])
        with pytest.raises(CheckpointError, match=r"model\.safetensors is no complete safetensors file"):
            read_model_info(settings)


def test_a_missing_shard_is_named(settings, tiny_checkpoint):
    write_sharded(tiny_checkpoint, settings, lambda tensors: None)
    (settings / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"missing in .*: model-00002-of-00002.safetensors"):
        read_model_info(settings)


def test_shards_hold_the_same_model_and_half_precision_reads_as_float32(settings, tiny_checkpoint):
    halved = "model.norm.weight"
    write_sharded(tiny_checkpoint, settings, lambda tensors: tensors.update({halved: tensors[halved].half()}))
    single, sharded = CheckpointTensors(tiny_checkpoint), CheckpointTensors(settings)
    assert single.shapes() == sharded.shapes()
    for name in single.shapes():
        found, wanted = sharded.get(name), single.get(name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted.astype(np.float16) if name == halved else wanted)


def test_all_missing_and_misshapen_tensors_are_one_error(settings, tiny_checkpoint):
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["model.top_audio_layers.1.mlp.up_proj.weight"]
        del tensors["model.image_newline"]
        tensors["model.mm_projector.0.weight"] = torch.zeros(64, 33)

    write_sharded(tiny_checkpoint, settings, spoil)
    with pytest.raises(CheckpointError) as raised:
        open_sources(settings)
    text = str(raised.value)
    assert text.startswith("3 tensors")
    assert "model.top_audio_layers.1.mlp.up_proj.weight [128, 64] is missing" in text
    assert "model.image_newline [64] is missing" in text
    assert "model.mm_projector.0.weight is [64, 33], but must be [64, 32]" in text


def test_surplus_tensors_are_one_warning(tiny_checkpoint, tiny_cosyvoice, caplog):
    with caplog.at_level(logging.WARNING):
        sources = open_sources(tiny_checkpoint, tiny_cosyvoice)
    assert sources.keys() == {"model", "flow", "hift"}
    (record,) = caplog.records
    assert "vision_model.post_layernorm.weight [32]" in record.getMessage()
    assert record.getMessage().count("\n") == 2  # the norm's weight and bias, and nothing else


def test_loading_a_stage_reads_no_other_tensors(tiny_checkpoint):
    class Watched(CheckpointTensors):
        def get(self, name: str) -> np.ndarray:
            read.append(name)
            return super().get(name)

    read: list[str] = []
    network = make_network("speech_bottom_step", read_model_info(tiny_checkpoint))
    load_weights(network, Watched(tiny_checkpoint))
    assert len(read) == len(set(read)) == 2 * 9 + 3
    heads = ("model.audio_embed_tokens", "model.audio_norm", "audio_to_text_proj", "model.bottom_audio_layers.")
    assert all(name.startswith(heads) for name in read)


def test_a_checkpoint_is_described_without_pytorch(tiny_checkpoint):
    code = "import sys; from pathlib import Path; from stream_omni.checkpoint import read_model_info\n"
    code += "read_model_info(Path(sys.argv[1])); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tiny_checkpoint)], check=True)
