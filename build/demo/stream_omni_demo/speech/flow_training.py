"""The stage "flow": the output voice's units become its mel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo
from stream_omni.noise import TurnNoise
from stream_omni.runtime.session import Session
from stream_omni.token2wav import run_flow, speech_sizes
from stream_omni_demo.loop import Losses
from stream_omni_demo.speech.coded import Coded
from stream_omni_demo.speech.flow_learner import Draw, FlowLearner
from stream_omni_demo.speech.flow_windows import Spoken, WindowMaker
from stream_omni_demo.speech.sessions import TrainedSession
from stream_omni_demo.speech.takes import Take
from stream_omni_demo.trainee import Tensors

_CEPSTRA = 24  # of the cepstral distance, without the first, which is loudness


def spoken(takes: Sequence[Take], coded: Sequence[Coded], info: ModelInfo) -> list[Spoken]:
    """The output voice's utterances, each mel cut to the frames that the clock counts for its units."""
    clock = MelClock.of(*speech_sizes(info))
    found = []
    for take in takes:
        units = coded[take.place].clean
        frames = clock.frames(len(units))
        assert frames <= take.frames, f"{len(units)} units are {frames} frames, and there are {take.frames}"
        found.append(Spoken(units, np.ascontiguousarray(take.mel[:frames].T, np.float32)))
    return found


def mean_mel(utterances: Sequence[Spoken]) -> Tensor:
    """[80]"""
    return torch.from_numpy(np.concatenate([u.mel for u in utterances], axis=1).mean(axis=1))


class FlowTraining:
    """``losses(step)`` of one batch, a function of the step's number."""

    def __init__(
        self,
        info: ModelInfo,
        tensors: Tensors,
        utterances: Sequence[Spoken],
        speaker: NDArray[np.float32],
        rows: int,
        seed: int,
    ) -> None:
        self._learner, self._tensors = FlowLearner(info), tensors
        self._windows = WindowMaker(utterances, *speech_sizes(info))
        self._speaker = torch.from_numpy(speaker)
        self._rows, self._seed = rows, seed

    @property
    def parameters(self) -> list[nn.Parameter]:
        return self._tensors.used_by(self._learner)

    def losses(self, step: int) -> Losses:
        generator = np.random.default_rng((self._seed, step))
        windows = self._windows.batch(generator, self._rows)
        draw = Draw.of(generator, windows.mel.shape)
        found: Losses = self._tensors.run(self._learner, windows, draw, self._speaker)
        return found


def measure(
    info: ModelInfo, tensors: Tensors, utterances: Sequence[Spoken], speaker: NDArray[np.float32]
) -> dict[str, float]:
    """Of held-out utterances made whole, as they are served: distances of the sampled mel to the true one, and of the
    mean that it starts from."""
    encoder, estimator = (TrainedSession(name, info, tensors) for name in ("flow_encoder", "flow_estimator"))
    sums: dict[str, list[float]] = {}
    for number, utterance in enumerate(utterances):
        mel, mean = sampled(info, encoder, estimator, utterance.units, speaker, number)
        for name, made in (("sampled", mel), ("mean", mean)):
            for kind, value in _distances(made, utterance.mel).items():
                sums.setdefault(f"{name}_{kind}", []).append(value)
    return {name: float(np.mean(values)) for name, values in sums.items()}


def sampled(
    info: ModelInfo,
    encoder: Session,
    estimator: Session,
    units: NDArray[np.int64],
    speaker: NDArray[np.float32],
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mel [80, T] of a whole utterance, and the mean that the flow was given."""
    flow, vocoder = speech_sizes(info)
    places = MelClock.of(flow, vocoder).whole(len(units))
    seen: dict[str, NDArray[np.float32]] = {}
    mel = run_flow(
        encoder,
        estimator,
        flow,
        units[None],
        speaker[None],
        [places],
        np.zeros((1, flow.mel_channels, places.frames), np.float32),
        TurnNoise(seed).flow(0, places.frames, flow.mel_channels)[None],
        seen.__setitem__,
    )
    return mel[0], seen["mu"][0]


def _distances(made: NDArray[np.float32], wanted: NDArray[np.float32]) -> Mapping[str, float]:
    """Of mels [80, T]: mean absolute ``error`` of the logarithms, and how far apart the spectra's envelopes are, which
    are smooth in frequency and have no loudness (as in a mel cepstral distance), in dB."""
    channels = len(made)
    angles = np.pi / channels * np.outer(np.arange(1, _CEPSTRA + 1), np.arange(channels) + 0.5)
    cepstra = np.sqrt(2 / channels) * np.cos(angles) @ (made - wanted)  # [_CEPSTRA, T]
    envelope = np.sqrt((cepstra**2).sum(axis=0) / channels)
    return {
        "error": float(np.abs(made - wanted).mean()),
        "envelope_db": float(envelope.mean() * 20 / np.log(10)),
    }
