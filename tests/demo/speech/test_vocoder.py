"""The vocoder's training: its crops, its excitation, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.speech.spectrum import log_mel
from stream_omni_demo.speech.takes_stage import open_takes
from stream_omni_demo.speech.vocoder_crops import CropMaker, disturbed, plain_source, source_of
from stream_omni_demo.speech.vocoder_training import VocoderTraining, initial_tensors, resynthesised

from stream_omni.model_info import ModelInfo


def test_crops_hold_what_belongs_together(workshop: Workshop, info: ModelInfo):
    assert info.vocoder
    crops = CropMaker(open_takes(workshop), 24, 256).batch(np.random.default_rng(0), 5)
    assert crops.waveform.shape == (5, 24 * 256)
    inner = slice(3, -3)  # away from the edges, where a crop's own spectrum reflects
    made = log_mel(crops.waveform, info.vocoder)[..., inner]
    loud = crops.mel[..., inner] > -6  # what is softer is changed by the rounding to 16 bits
    torch.testing.assert_close(made[loud], crops.mel[..., inner][loud], atol=0.02, rtol=0)
    with pytest.raises(ValueError, match="100000 frames"):
        CropMaker(open_takes(workshop), 100_000, 256)


def test_the_excitation_has_all_harmonics_alike_and_noise_where_nothing_vibrates(info: ModelInfo):
    assert info.vocoder
    sizes = plain_source(info.vocoder)
    f0 = np.repeat(np.array([[200.0, 0.0]], np.float32), 16, axis=1)  # 16 frames of each
    source = source_of(f0, sizes, np.random.default_rng(0))[0].numpy()
    voiced, unvoiced = source[: 16 * 256], source[16 * 256 :]
    spectrum = np.abs(np.fft.rfft(voiced * np.hanning(voiced.size)))
    hz = np.fft.rfftfreq(voiced.size, 1 / 22050)
    peaks = np.array([spectrum[np.abs(hz - 200 * k).argmin()] for k in range(1, 10)])
    assert peaks.min() > 0.5 * peaks.max()
    assert spectrum[np.abs(hz - 2300).argmin()] < 0.1 * peaks.min()
    assert np.abs(unvoiced).max() < np.abs(voiced).max()


def test_disturbed_mels_are_near_the_true_ones_and_half_of_them_are_true():
    mel = torch.randn(64, 80, 20, generator=torch.Generator().manual_seed(0))
    made = disturbed(mel, np.random.default_rng(0))
    same = (made == mel).flatten(1).all(1)
    assert 16 < same.sum() < 48
    assert (made - mel).abs().mean() < 0.4
    flat = torch.ones(8, 80, 20)
    torch.testing.assert_close(disturbed(flat, np.random.default_rng(1)).mean(), torch.tensor(1.0), atol=0.05, rtol=0)


def test_it_learns_a_fixed_batch_and_its_excitation_stays(workshop: Workshop, info: ModelInfo, tmp_path):
    tensors = initial_tensors(info, seed=0)
    training = VocoderTraining(info, tensors, open_takes(workshop), steps=1000, rows=2, frames=16, seed=0)
    first = {name: float(loss.detach()) for name, loss in training.losses(0).items()}
    train("it", training.parameters, lambda step: training.losses(0), Recipe(12, 2e-3, warm_up_steps=1), tmp_path / "s")
    last = {name: float(loss.detach()) for name, loss in training.losses(0).items()}
    assert all(last[name] < first[name] for name in ("mel", "logarithmic", "f0")), (first, last)
    assert tensors.parameters["m_source.l_linear.weight"].unique().tolist() == [1.0]
    with torch.no_grad():
        assert all(torch.isfinite(loss) for loss in training.losses(999).values()), "with predicted F0"


def test_what_is_made_again_has_the_length_of_the_mel(info: ModelInfo):
    waveform, f0 = resynthesised(info, initial_tensors(info, seed=0), np.zeros((80, 9), np.float32), seed=0)
    assert waveform.shape == (9 * 256,)
    assert f0.shape == (9,)
    assert np.isfinite(waveform).all()
