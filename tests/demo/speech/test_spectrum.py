"""Spectra for training: the mel's front end, and the distance of waveforms."""

from __future__ import annotations

import numpy as np
import torch
from stream_omni_demo.speech.spectrum import log_mel, spectral_distance

from stream_omni.model_info import ModelInfo


def tone(hz: float, seconds: float = 0.5) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hz * torch.arange(int(22050 * seconds)) / 22050)[None] * 0.5


def test_a_frame_is_a_hop_and_silence_is_the_quietest(voice_info: ModelInfo):
    assert voice_info.vocoder
    mel = log_mel(torch.zeros(2, 256 * 7 + 100), voice_info.vocoder)
    assert mel.shape == (2, 80, 7)
    assert torch.equal(mel, torch.full_like(mel, np.log(1e-5)))


def test_tones_are_in_order_and_in_time(voice_info: ModelInfo):
    assert voice_info.vocoder
    peaks = [int(log_mel(tone(hz), voice_info.vocoder)[0, :, 20].argmax()) for hz in (200, 500, 1000, 3000, 7000)]
    assert peaks == sorted(set(peaks))
    click = torch.zeros(1, 256 * 20)
    click[0, 256 * 9 + 128] = 1.0  # the middle of the tenth hop
    mel = log_mel(click, voice_info.vocoder)[0].mean(0)
    assert int(mel.argmax()) == 9
    torch.testing.assert_close(mel[:9], mel[10:19].flip(0), atol=1e-3, rtol=0)


def test_the_distance_does_not_mind_phases_and_does_mind_loudness():
    one, shifted = tone(440), tone(440, 0.6)[:, 17 : 17 + 11025]
    same = sum(spectral_distance(one, shifted))
    louder = sum(spectral_distance(one, 2 * one))
    other = sum(spectral_distance(one, tone(700)))
    assert same < 0.3 * louder < other
