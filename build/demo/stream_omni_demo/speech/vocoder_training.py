"""The stage "vocoder": HiFT learns to make the output voice of its mel, without a discriminator.

It is excited by the true F0 for most of the training, and at the end by the predicted one, as it is served.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni.noise import TurnNoise
from stream_omni.token2wav import FloatArray, run_vocoder, speech_sizes
from stream_omni_demo.loop import Losses
from stream_omni_demo.speech.sessions import TrainedSession
from stream_omni_demo.speech.spectrum import log_mel, spectral_distance
from stream_omni_demo.speech.takes import Take
from stream_omni_demo.speech.vocoder_crops import CropMaker, disturbed, plain_source, source_of
from stream_omni_demo.trainee import Tensors

_TRUE_F0_SHARE = 0.7  # of the steps; after them the F0 is the predicted one
_CLEAN_SHARE = 0.4  # of the steps; after them half of the mels are disturbed
_F0_SCALE_HZ = 100.0
_FIRST_LOG_MAGNITUDE, _FIRST_GAIN = -3.0, 0.3  # as loud as soft speech, all the time


class VocoderLearner(nn.Module):
    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        self.vocoder, self.f0_predictor = make_network("vocoder", info), make_network("f0_predictor", info)

    def forward(self, mel: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """The waveform [B, hop * T] and the predicted F0 [B, T] of [B, 80, T] and [B, hop * T]."""
        return self.vocoder(mel, source), self.f0_predictor(mel)


def initial_tensors(info: ModelInfo, seed: int) -> Tensors:
    """Random ones, but for a spectrum and an F0 that begin in the right order of magnitude, and the excitation, which
    stays as it is."""
    tensors = Tensors.random(info, "hift", seed)
    _, sizes = speech_sizes(info)
    plain, bins = plain_source(sizes), sizes.istft_size // 2 + 1
    with torch.no_grad():
        tensors.parameters["conv_post.weight_g"].mul_(_FIRST_GAIN)
        tensors.parameters["conv_post.bias"][:bins] = _FIRST_LOG_MAGNITUDE
        tensors.parameters["f0_predictor.classifier.weight"].mul_(_F0_SCALE_HZ)
        tensors.parameters["f0_predictor.classifier.bias"].fill_(_F0_SCALE_HZ)
        tensors.parameters["m_source.l_linear.weight"].copy_(torch.tensor([plain.harmonic_weights]))
        tensors.parameters["m_source.l_linear.bias"].fill_(plain.harmonic_bias)
    return tensors


class VocoderTraining:
    """``losses(step)`` of one batch, a function of the step's number."""

    def __init__(
        self, info: ModelInfo, tensors: Tensors, takes: Sequence[Take], steps: int, rows: int, frames: int, seed: int
    ) -> None:
        self._learner, self._tensors = VocoderLearner(info), tensors
        _, sizes = speech_sizes(info)
        self._sizes = plain_source(sizes)
        self._crops = CropMaker(takes, frames, sizes.hop_samples)
        self._predictor = TrainedSession("f0_predictor", info, tensors)
        self._steps, self._rows, self._seed = steps, rows, seed

    @property
    def parameters(self) -> list[nn.Parameter]:
        return self._tensors.used_by(self._learner)

    def losses(self, step: int) -> Losses:
        generator = np.random.default_rng((self._seed, step))
        crops = self._crops.batch(generator, self._rows)
        mel = crops.mel if step < _CLEAN_SHARE * self._steps else disturbed(crops.mel, generator)
        f0 = crops.f0
        if step >= _TRUE_F0_SHARE * self._steps:
            f0 = self._predictor.run({"mel": mel.numpy()})["f0"]
        waveform, predicted = self._tensors.run(self._learner, mel, source_of(f0, self._sizes, generator))
        logarithmic, linear = spectral_distance(waveform, crops.waveform)
        return {
            "mel": (log_mel(waveform, self._sizes) - crops.mel).abs().mean(),
            "logarithmic": logarithmic,
            "linear": linear,
            "f0": (predicted - torch.from_numpy(crops.f0)).abs().mean() / _F0_SCALE_HZ,
        }


def resynthesised(info: ModelInfo, tensors: Tensors, mel: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """The waveform and the predicted F0 of ``mel`` [80, T], as they are served."""
    _, sizes = speech_sizes(info)
    plain, noise, frames = plain_source(sizes), TurnNoise(seed), mel.shape[1]
    seen: dict[str, FloatArray] = {}
    waveform, _ = run_vocoder(
        TrainedSession("f0_predictor", info, tensors),
        TrainedSession("vocoder", info, tensors),
        plain,
        np.ascontiguousarray(mel[None], np.float32),
        noise.phase(sizes.harmonics)[None],
        np.zeros(1, np.int64),
        noise.sine(0, frames, sizes.harmonics, sizes.hop_samples)[None],
        seen.__setitem__,
    )
    return waveform[0], seen["f0"][0]


def measure(info: ModelInfo, tensors: Tensors, takes: Sequence[Take]) -> dict[str, float]:
    """Of held-out speech that is made again of its mel: mean absolute error of the logarithmic mel, share of frames
    whose voicing is wrong, median error of F0 in Hz, largest sample, and largest mean of an utterance."""
    _, sizes = speech_sizes(info)
    errors, voicing, hz, peak, offset = [], [], [], 0.0, 0.0
    for number, take in enumerate(takes):
        mel = take.mel.T.astype(np.float32)
        waveform, f0 = resynthesised(info, tensors, mel, number)
        made = log_mel(torch.from_numpy(waveform)[None], sizes)[0].numpy()
        errors.append(np.abs(made - mel).mean())
        voiced, heard = take.f0 > sizes.voiced_threshold_hz, f0 > sizes.voiced_threshold_hz
        voicing.append((voiced != heard).mean())
        hz.append(np.abs(f0 - take.f0)[voiced & heard])
        peak, offset = max(peak, float(np.abs(waveform).max())), max(offset, float(abs(waveform.mean())))
    return {
        "mel_error": float(np.mean(errors)),
        "voicing_error": float(np.mean(voicing)),
        "f0_error_hz": float(np.median(np.concatenate(hz))),
        "peak": peak,
        "offset": offset,
    }
