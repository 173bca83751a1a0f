"""The vocoder's networks against the recorded cases, and the transform inside against PyTorch's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stream_omni.cosyvoice_checkpoint import open_hift
from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni.networks.short_time_fourier import ShortTimeFourier
from stream_omni.networks.weights import Network, load_weights
from stream_omni.weights import fold_weight_norm

CASES = ["cosy_n1", "cosy_n10", "cosy_n38", "cosy_n41", "cosy_n100", "cosy_prompt"]


@pytest.fixture(scope="module")
def f0_predictor(voice_info: ModelInfo, tiny_cosyvoice: Path) -> Network:
    return load("f0_predictor", voice_info, tiny_cosyvoice)


@pytest.fixture(scope="module")
def vocoder(voice_info: ModelInfo, tiny_cosyvoice: Path) -> Network:
    return load("vocoder", voice_info, tiny_cosyvoice)


def load(graph: str, info: ModelInfo, cosyvoice: Path) -> Network:
    network = make_network(graph, info)
    load_weights(network, open_hift(cosyvoice))
    return network


@pytest.mark.parametrize("name", CASES)
def test_vocoder_matches_the_recorded_case(name, fixtures_dir, f0_predictor, vocoder):
    arrays = np.load(fixtures_dir / "cases" / f"{name}.npz")
    mel, source = (torch.from_numpy(arrays[k])[None] for k in ("mel", "source"))
    np.testing.assert_allclose(f0_predictor(mel)[0], arrays["f0"], atol=5e-2)
    np.testing.assert_allclose(vocoder(mel, source)[0], arrays["wav"], atol=1e-3)


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_batch_equals_its_rows_alone(frames, f0_predictor, vocoder):
    torch.manual_seed(frames)
    mel, source = torch.randn(3, 80, frames), torch.randn(3, 256 * frames) * 0.3
    f0, waveform = f0_predictor(mel), vocoder(mel, source)
    assert waveform.shape == source.shape
    for row in range(3):
        alone = mel[row : row + 1]
        torch.testing.assert_close(f0[row], f0_predictor(alone)[0], atol=1e-3, rtol=0)
        torch.testing.assert_close(waveform[row], vocoder(alone, source[row : row + 1])[0], atol=2e-4, rtol=0)


@pytest.mark.parametrize(("size", "hop"), [(16, 4), (32, 8)])
def test_the_transform_equals_pytorchs(size, hop):
    torch.manual_seed(0)
    signal, window = torch.randn(2, 40 * hop), torch.hann_window(size)
    theirs = torch.stft(signal, size, hop, size, window, center=True, pad_mode="reflect", return_complex=True)
    transform = ShortTimeFourier(size, hop)
    ours = transform.analyse(signal[:, None])
    torch.testing.assert_close(ours, torch.cat([theirs.real, theirs.imag], dim=1), atol=1e-5, rtol=0)
    magnitude, phase = torch.randn_like(theirs.real).exp(), torch.randn_like(theirs.real)
    inverse = torch.istft(torch.polar(magnitude, phase), size, hop, size, window, center=True)
    torch.testing.assert_close(transform.synthesise(magnitude, phase)[:, 0], inverse, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [torch.nn.Conv1d, torch.nn.ConvTranspose1d])
def test_weight_norm_is_folded_over_all_axes_but_the_first(kind):
    layer = torch.nn.utils.parametrizations.weight_norm(kind(4, 6, 3))
    parts = layer.parametrizations.weight
    torch.testing.assert_close(fold_weight_norm(parts.original0, parts.original1), layer.weight)
