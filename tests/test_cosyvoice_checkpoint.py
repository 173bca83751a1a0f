from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.cosyvoice_checkpoint import open_flow, open_hift, read_cosyvoice
from stream_omni.cosyvoice_yaml import read_configuration
from stream_omni.pickled_tensors import PickledTensors


@pytest.fixture
def copy(tiny_cosyvoice: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_cosyvoice, tmp_path / "cosyvoice"))


def edit(directory: Path, old: str, new: str) -> None:
    path = directory / "cosyvoice.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_sizes_and_voices_come_from_the_files(tiny_cosyvoice):
    flow, vocoder, voices = read_cosyvoice(tiny_cosyvoice)
    assert (flow.units, flow.encoder_width, flow.estimator_channels, flow.regulator_blocks) == (4096, 32, (16, 16), 4)
    assert (vocoder.sample_rate_hz, vocoder.hop_samples, vocoder.harmonics) == (22050, 256, 9)
    linear = open_hift(tiny_cosyvoice).get("m_source.l_linear.weight")
    np.testing.assert_array_equal(np.float32(vocoder.harmonic_weights), linear[0])
    assert list(voices) == ["英文女", "中文女"]
    assert all(v.shape == (192,) and v.dtype == np.float32 for v in voices.values())


def test_a_file_may_ask_for_a_low_temperature(copy):
    assert read_cosyvoice(copy)[0].temperature == 1.0  # the released files do not speak of it
    edit(copy, "inference_cfg_rate: 0.7", "inference_cfg_rate: 0.7\n                temperature: 0.25")
    assert read_cosyvoice(copy)[0].temperature == 0.25


def test_tags_construct_nothing(tmp_path):
    path = tmp_path / "cosyvoice.yaml"
    marker = tmp_path / "ran"
    path.write_text(
        f"rate: 7\nran: !apply:os.system ['touch {marker}']\n"
        "part: !new:os.PathLike\n    size: !ref <rate>\n    name: !name:os.remove\n"
    )
    content = read_configuration(path)
    assert content["part"] == {"size": 7, "name": ""}
    assert content["ran"] == [f"touch {marker}"]
    assert not marker.exists()


def test_the_generators_prefix_is_taken_off(copy):
    path = copy / "hift.pt"
    plain = torch.load(path, weights_only=True)
    torch.save({f"generator.{k}": v for k, v in plain.items()} | {"step": 3}, path)
    assert PickledTensors(path, "generator.").shapes() == {k: tuple(v.shape) for k, v in plain.items()}
    read_cosyvoice(copy)


class _Command:
    """Pickled, it runs when it is read."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["hift.pt", "spk2info.pt"])
@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_pickle_does_not_run(copy, tmp_path, name, write):
    marker = tmp_path / "ran"
    write({"x": _Command(f"touch {marker}")}, copy / name)
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read as tensors and plain data alone: \w"):
        read_cosyvoice(copy)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"no tensors", b"PK\x03\x04"])
def test_a_damaged_pickle_is_named(copy, content):
    (copy / "flow.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"flow.pt cannot be read"):
        open_flow(copy)


@pytest.mark.parametrize(
    ("content", "says"), [(b"\xff\xfe", "is no YAML"), (b"a: &a [*a]\n", "an alias within its own anchor")]
)
def test_a_damaged_configuration_is_named(copy, content, says):
    (copy / "cosyvoice.yaml").write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        read_cosyvoice(copy)


@pytest.mark.parametrize("name", ["cosyvoice.yaml", "hift.pt", "spk2info.pt"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        read_cosyvoice(copy)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("num_blocks: 2", "num_blocks: two", "flow: encoder: num_blocks is 'two'"),
        ("    vocab_size: 4096\n", "", "flow: vocab_size is missing"),
        ("!ref <sample_rate>", "!ref <sampel_rate>", "<sampel_rate> names nothing above it"),
        ("t_scheduler: 'cosine'", "t_scheduler: 'linear'", "t_scheduler is 'linear'; it must be 'cosine'"),
        ("nb_harmonics: 8", "nb_harmonics: 7", r"m_source.l_linear.weight has shape \(1, 9\), not \(1, 8\)"),
        ("spk_embed_dim: 192", "spk_embed_dim: 64", "voice '英文女' has an embedding of shape"),
        ("sample_rate: 22050", "sample_rate: [", "is no YAML"),
    ],
)
def test_what_is_wrong_is_said(copy, old, new, says):
    edit(copy, old, new)
    with pytest.raises(CheckpointError, match=says):
        read_cosyvoice(copy)
