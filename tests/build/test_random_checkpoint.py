"""`stream-omni build random`: the real layout, the same bytes each time, and a tokenizer and units that work."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import jinja2
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from stream_omni_build import random_tensors
from stream_omni_build.cosyvoice_tensors import flow_tensors, vocoder_tensors, voice_tensors
from stream_omni_build.language_tensors import language_tensors
from stream_omni_build.random_checkpoint import DEFAULT_SEED, main
from stream_omni_build.random_sizes import MID, REAL, TINY, RandomSize
from stream_omni_build.random_tensors import RandomTensor, Rows, draw
from stream_omni_build.random_tokenizer import TokenRoles, token_roles, train_tokenizer
from stream_omni_build.safetensors_writer import write_model
from tokenizers import Tokenizer

ROLES = TokenRoles(words=(5, 6), marks=(7,), units=range(8, 9), bos=0, blank=1, eot=2, eos=(2, 3))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("random")
    assert main(["--size", "tiny", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny / "stream-omni-tiny" / "tokenizer.json"))


def test_tables_agree_with_the_recorded_checkpoint(fixtures_dir: Path) -> None:
    """Names, shapes and (but for the heads, whose vocabulary differs) spreads."""
    recorded = json.loads((fixtures_dir / "weights.json").read_text(encoding="utf-8"))
    size = dataclasses.replace(TINY, learned_tokens=128000, special_tokens=256, units=4096, text_covers_units=True)
    tables = {
        "model.safetensors": language_tensors(size, ROLES),
        "flow.pt": flow_tensors(size.cosyvoice, size.units),
        "hift.pt": vocoder_tensors(size.cosyvoice),
        "spk2info.pt": voice_tensors(),
    }
    for file, table in tables.items():
        wanted = recorded[file]
        shapes = {
            name: tuple(size.text_vocabulary if axis == "text_vocab" else axis for axis in spec["shape"])
            for name, spec in wanted.items()
        }
        assert {t.name: t.shape for t in table} == shapes
        for tensor in table:
            if tensor.name not in ("lm_head.weight", "audio_lm_head.weight", "audio_to_text_proj.weight"):
                spec = wanted[tensor.name]
                assert (tensor.mean, tensor.std) == pytest.approx((spec["mean"], spec["std"]), rel=1e-3), tensor.name


def test_real_size_has_the_published_parameter_counts() -> None:
    language = language_tensors(REAL, ROLES)
    flow, vocoder = flow_tensors(REAL.cosyvoice, REAL.units), vocoder_tensors(REAL.cosyvoice)
    assert (len(language), len(flow), len(vocoder)) == (815, 1185, 227)
    assert sum(t.size for t in language) / 1e9 == pytest.approx(12.682, abs=5e-4)
    assert sum(t.size for t in flow) / 1e6 == pytest.approx(104.9, abs=0.05)
    shapes = {t.name: t.shape for t in (*language, *flow, *vocoder)}
    assert len(shapes) == 815 + 1185 + 227
    assert shapes["model.embed_tokens.weight"] == (128256, 4096)
    assert shapes["audio_lm_head.weight"] == (132352, 4096)
    assert shapes["model.layers.31.self_attn.k_proj.weight"] == (1024, 4096)
    assert shapes["model.top_audio_layers.4.audio_text_attn.k_proj.weight"] == (4096, 4096)
    assert shapes["decoder.estimator.mid_blocks.11.1.3.attn1.to_q.weight"] == (512, 256)
    assert shapes["resblocks.5.convs1.2.weight_v"] == (128, 128, 11)


def test_drawing_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = RandomTensor("a", (37, 5, 3), 2.0, mean=1.0, rows=(Rows((3, 30), 0.0, mean=9.0),))
    whole = draw(tensor, "file", seed=7)
    monkeypatch.setattr(random_tensors, "BLOCK_VALUES", 31)
    np.testing.assert_array_equal(draw(tensor, "file", seed=7), whole)
    assert (whole[[3, 30]] == 9.0).all()
    assert np.delete(whole, [3, 30], axis=0).std() == pytest.approx(2.0, rel=0.2)
    for other in (draw(tensor, "file", 8), draw(tensor, "other", 7)):
        assert not np.array_equal(other, whole)


def test_a_second_run_writes_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    assert main(["--size", "tiny", "--out", str(tmp_path)]) == 0
    files = sorted(p.relative_to(tiny) for p in tiny.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for file in files:
        assert (tiny / file).read_bytes() == (tmp_path / file).read_bytes(), file
    assert sum((tiny / file).stat().st_size for file in files) < 8e6


def test_a_complete_checkpoint_is_kept_and_anything_else_is_left_alone(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny / "stream-omni-tiny" / "model.safetensors"
    before = model.stat().st_mtime_ns
    assert main(["--size", "tiny", "--out", str(tiny)]) == 0
    assert model.stat().st_mtime_ns == before
    assert main(["--size", "tiny", "--out", str(tiny), "--seed", "2"]) == 1
    assert "another seed" in capsys.readouterr().err
    (tmp_path / "cosyvoice-tiny").mkdir()
    (tmp_path / "cosyvoice-tiny" / "mine.txt").write_text("mine")
    assert main(["--size", "tiny", "--out", str(tmp_path)]) == 1
    assert "no random checkpoint" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["cosyvoice-tiny", "mine.txt"]


def test_files_hold_what_the_tables_say(tiny: Path) -> None:
    learned = train_tokenizer(TINY)
    table = language_tensors(TINY, token_roles(learned, TINY))
    with safe_open(tiny / "stream-omni-tiny" / "model.safetensors", framework="np") as file:
        assert {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()} == {  # noqa: SIM118
            t.name: t.shape for t in table
        }
        np.testing.assert_array_equal(file.get_tensor(table[1].name), draw(table[1], "model.safetensors", DEFAULT_SEED))
    cosyvoice = tiny / "cosyvoice-tiny"
    for name, tensors in (
        ("flow.pt", flow_tensors(TINY.cosyvoice, TINY.units)),
        ("hift.pt", vocoder_tensors(TINY.cosyvoice)),
    ):
        state = torch.load(cosyvoice / name, mmap=True, weights_only=True)
        assert {key: tuple(value.shape) for key, value in state.items()} == {t.name: t.shape for t in tensors}
    voices = torch.load(cosyvoice / "spk2info.pt", weights_only=True)
    assert {name: tuple(voice["embedding"].shape) for name, voice in voices.items()} == {
        "英文女": (1, 192),
        "中文女": (1, 192),
    }


def test_shards_hold_the_same_values_as_one_file(tmp_path: Path) -> None:
    tensors = [RandomTensor(f"t{i}", (10, 4), 1.0) for i in range(5)]
    sizes: dict[str, int] = {}

    def report(file: str, written_bytes: int) -> None:
        sizes[file] = sizes.get(file, 0) + written_bytes

    write_model(tmp_path, tensors, "float16", shard_bytes=170, seed=1, report=report)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert sizes == {f"model-0000{i}-of-00003.safetensors": n for i, n in ((1, 160), (2, 160), (3, 80))}
    assert index["metadata"]["total_size"] == 400
    for tensor in tensors:
        with safe_open(tmp_path / index["weight_map"][tensor.name], framework="np") as file:
            expected = draw(tensor, "model.safetensors", 1).astype(np.float16)
            np.testing.assert_array_equal(file.get_tensor(tensor.name), expected)


@pytest.mark.parametrize(
    "text", ["What is in this picture?", " 左边的圆是什么颜色？", "naïve 🙂\n\n  x = 12345;", "龘"]
)
def test_tokenizer_gives_any_text_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text
    assert max(ids) < TINY.learned_tokens


def test_tokenizer_has_the_special_tokens_and_the_units(tokenizer: Tokenizer, tiny: Path) -> None:
    config = json.loads((tiny / "stream-omni-tiny" / "config.json").read_text())
    assert tokenizer.get_vocab_size() == config["vocab_size"] == TINY.vocabulary
    offset = config["vocab_size"] - config["audio_vocab_size"]
    ids = tokenizer.encode("<|eot_id|><Audio_0><Audio_511>").ids
    assert ids == [config["bos_token_id"], config["eos_token_id"][-1], offset, offset + 511]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<Audio_0><Audio_511>"


@pytest.mark.parametrize("size", [MID, REAL], ids=lambda size: size.name)
def test_full_vocabulary_has_the_published_ids(size: RandomSize) -> None:
    tokenizer = train_tokenizer(size)
    roles = token_roles(tokenizer, size)
    assert (roles.bos, roles.blank, roles.eot, roles.eos) == (128000, 128002, 128009, (128001, 128008, 128009))
    assert roles.units == range(128256, 132352)
    assert tokenizer.id_to_token(128256) == "<Audio_0>"
    assert [tokenizer.id_to_token(i) for i in (128006, 128007, 128255)] == [
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|reserved_special_token_247|>",
    ]
    assert len(tokenizer.to_str()) < 8e6


def test_answers_of_the_larger_sizes_never_end_by_themselves() -> None:
    for size in (MID, REAL):
        heads = {t.name: t for t in language_tensors(size, ROLES)}
        for name in ("lm_head.weight", "audio_lm_head.weight"):
            stds = {i: rows.std for rows in heads[name].rows for i in rows.ids}
            assert [stds[i] for i in ROLES.eos] == [0.0, 0.0]


def test_chat_template_ends_with_the_answers_header(tiny: Path, tokenizer: Tokenizer) -> None:
    config = json.loads((tiny / "stream-omni-tiny" / "tokenizer_config.json").read_text())
    messages = [{"role": "system", "content": "Help."}, {"role": "user", "content": " 你好 "}]
    text = jinja2.Environment().from_string(config["chat_template"]).render(messages=messages, **config)
    header = "<|start_header_id|>{}<|end_header_id|>\n\n"
    assert text == (
        f"<|begin_of_text|>{header.format('system')}Help.<|eot_id|>"
        f"{header.format('user')}你好<|eot_id|>{header.format('assistant')}"
    )
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text


def test_speech_tokenizer_gives_25_units_a_second(tiny: Path) -> None:
    session = onnxruntime.InferenceSession(tiny / "cosyvoice-tiny" / "speech_tokenizer_v1.onnx")
    assert [(i.name, i.type) for i in session.get_inputs()] == [
        ("feats", "tensor(float)"),
        ("feats_length", "tensor(int32)"),
    ]
    rng = np.random.default_rng(3)

    def units(feats: np.ndarray, length: int) -> np.ndarray:
        return session.run(None, {"feats": feats, "feats_length": np.array([length], np.int32)})[0].ravel()

    for frames in range(1, 51):
        found = units(rng.normal(0, 0.5, (1, 128, frames)).astype(np.float32), frames)
        assert len(found) == math.ceil(math.ceil(frames / 2) / 2)
        assert found.min() >= 0
        assert found.max() < TINY.units
    feats = rng.normal(0, 0.5, (1, 128, 200)).astype(np.float32)
    assert len(set(units(feats, 200))) > 25
    np.testing.assert_array_equal(units(feats, 200), units(feats, 200))
    cut = feats.copy()
    cut[:, :, 100:] = 0
    np.testing.assert_array_equal(units(feats, 100), units(cut, 200))
