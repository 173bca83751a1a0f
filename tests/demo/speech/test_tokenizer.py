"""The speech tokenizer: its quantizer, how far it hears, and its ONNX file against the network."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from stream_omni_build.assets import _check_speech_tokenizer
from stream_omni_demo.sizes import UNIT_LEVELS
from stream_omni_demo.speech.quantizer import Quantizer
from stream_omni_demo.speech.tokenizer_export import agreement, write_tokenizer
from stream_omni_demo.speech.tokenizer_network import SpeechTokenizer, TokenizerSizes, unit_count

from stream_omni.model_info import ModelInfo
from stream_omni.runtime.onnx_runtime import OnnxSession


@pytest.fixture(scope="module")
def network() -> SpeechTokenizer:
    torch.manual_seed(0)
    return SpeechTokenizer(TokenizerSizes(UNIT_LEVELS)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def exported(network: SpeechTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "speech_tokenizer_v1.onnx"
    write_tokenizer(network, path)
    return path


def features(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (128, frames)).astype(np.float32)


@pytest.mark.parametrize("levels", [(8, 8, 8), (5, 3, 2)])
def test_every_unit_comes_back_from_its_levels(levels):
    quantizer = Quantizer(levels)
    units = torch.arange(quantizer.units)[None]
    indices = quantizer.split(units)
    assert torch.equal(quantizer.unit(indices), units)
    latent = torch.logit((quantizer.code(indices) + 1) / 2) / 1.702  # the latents in the middle of their levels
    assert torch.equal(quantizer.unit(quantizer.indices(latent)), units)
    torch.testing.assert_close(quantizer.rounded(latent), quantizer.code(indices))


def test_latents_however_large_have_a_level_and_rounding_lets_the_gradient_pass():
    quantizer, latent = Quantizer((8, 8, 8)), torch.tensor([[[-1e9, 0.0, 1e9]] * 3], requires_grad=True)
    assert quantizer.unit(quantizer.indices(latent)).tolist() == [[0, 4 + 8 * 4 + 64 * 4, 511]]
    quantizer.rounded(latent).sum().backward()
    assert latent.grad is not None
    assert latent.grad[0, :, 1].gt(0.5).all()


def test_normal_latents_use_all_levels_alike():
    indices = Quantizer((8, 8, 8)).indices(torch.randn(1, 3, 20000, generator=torch.Generator().manual_seed(0)))
    shares = torch.bincount(indices.flatten().long(), minlength=8) / indices.numel()
    assert shares.min() > 0.11
    assert shares.max() < 0.14


@pytest.mark.parametrize("frames", range(1, 21))
def test_the_file_makes_a_unit_of_four_frames_rounded_up_twice(frames, exported, network):
    feats = features(frames, seed=frames)
    inputs = {"feats": feats[None], "feats_length": np.array([frames], np.int32)}
    found = OnnxSession(exported).run(inputs)["indices"]
    assert found.dtype == np.int64
    assert found.shape == (1, math.ceil(math.ceil(frames / 2) / 2)) == (1, unit_count(frames))
    assert agreement(network, exported, feats) == 1.0


def test_the_file_agrees_with_the_network_on_long_features(network, exported):
    assert agreement(network, exported, features(1500)) > 0.995
    assert agreement(network, exported, features(1500) * 0.1) > 0.995


def test_frames_from_the_length_on_change_nothing_before_it(exported):
    session, long = OnnxSession(exported), features(90)
    alone = session.run({"feats": long[None, :, :53], "feats_length": np.array([53], np.int32)})["indices"]
    padded = session.run({"feats": long[None], "feats_length": np.array([53], np.int32)})["indices"]
    assert padded.shape == (1, 23)
    np.testing.assert_array_equal(padded[:, : unit_count(53)], alone)


def test_a_unit_hears_a_third_of_a_second_and_no_farther(network):
    reach, frames, unit = network.sizes.reach_frames, 200, 25
    assert 25 <= reach <= 36
    feats, length = torch.from_numpy(features(frames))[None], torch.tensor([frames])
    before = network.latent(feats, length)[..., unit]
    changes = []
    for offset in (-reach - 1, -reach, reach, reach + 1):
        changed = feats.clone()
        changed[..., 4 * unit + offset] += 10.0
        changes.append(bool((network.latent(changed, length)[..., unit] != before).any()))
    assert changes == [False, True, True, False]


def test_a_build_takes_the_file(exported, tmp_path, voice_info: ModelInfo):
    (tmp_path / "graphs").mkdir()
    (tmp_path / "assets").mkdir()
    (tmp_path / "graphs" / "speech_tokenizer.onnx").write_bytes(exported.read_bytes())
    assert voice_info.flow is not None
    voice_info.save(tmp_path / "assets" / "model.json")
    _check_speech_tokenizer(exported, 512, tmp_path)


def test_the_same_network_gives_the_same_file(network, exported, tmp_path):
    write_tokenizer(network, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()
