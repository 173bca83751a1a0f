"""What the flow learns: conditional flow matching (Lipman et al. 2023), in CosyVoice's recipe.

The mean ``mu`` learns the mel itself too, which makes it a good start; the estimator learns the velocity from noise of
the served temperature to the mel, given ``mu``, the speaker and the frames that are known, and a fifth of the time
given nothing. Of what makes a mel differ from its mean it is asked for a share: all of it is more than a small
estimator learns, and what it says instead is understood worse than the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni_demo.loop import Losses
from stream_omni_demo.speech.flow_windows import Windows
from stream_omni_demo.trainee import Tensors

UNCONDITIONAL_SHARE = 0.2  # training_cfg_rate
SPREAD = 0.3  # the share


@dataclass(frozen=True, eq=False)
class Draw:
    """What chance decides in a step: B rows of T frames."""

    noise: Tensor  # [B, 80, T]
    time: Tensor  # [B], dense near 0, as the ODE's steps are
    given: Tensor  # [B, 1, 1]: 1, or 0 where the estimator is told nothing

    @classmethod
    def of(cls, generator: np.random.Generator, shape: torch.Size) -> Draw:
        rows = shape[0]
        noise = generator.standard_normal(tuple(shape), np.float32)
        time = 1 - np.cos(0.5 * math.pi * (generator.permutation(rows) + generator.random(rows)) / rows)
        given = generator.random(rows) >= UNCONDITIONAL_SHARE
        return cls(
            torch.from_numpy(noise),
            torch.from_numpy(time.astype(np.float32)),
            torch.from_numpy(given.astype(np.float32))[:, None, None],
        )


class FlowLearner(nn.Module):
    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        assert info.flow is not None
        self.encoder, self.estimator = make_network("flow_encoder", info), make_network("flow_estimator", info)
        self._temperature = info.flow.temperature

    def forward(self, windows: Windows, draw: Draw, speaker: Tensor) -> Losses:
        """``speaker`` [speaker_size]."""
        rows = len(windows.units)
        _, projected, mu = self.encoder(
            windows.units, speaker.expand(rows, -1), windows.left, windows.right, windows.weight
        )
        mel, time, given, noise = windows.mel, draw.time[:, None, None], draw.given, self._temperature * draw.noise
        wanted = mu.detach().lerp(mel, SPREAD)
        velocity = self.estimator(
            (1 - time) * noise + time * wanted,
            given * mu,
            given[:, :, 0] * projected,
            given * windows.known * mel,
            draw.time,
        )
        return {"mean": (mu - mel).abs().mean(), "velocity": (velocity - (wanted - noise)).square().mean()}


def initial_tensors(info: ModelInfo, mean_mel: Tensor, seed: int) -> Tensors:
    """Random ones, but that both networks put out the mean of all frames ``mean_mel`` [80] at first."""
    tensors = Tensors.random(info, "flow", seed)
    assert info.flow is not None
    last = f"length_regulator.model.{3 * info.flow.regulator_blocks}"
    with torch.no_grad():
        for name, parameter in tensors.parameters.items():
            if parameter.ndim == 1 and name.endswith("weight"):  # a norm's
                parameter.fill_(1.0)
        for name in (last, "decoder.estimator.final_proj"):
            tensors.parameters[f"{name}.bias"].copy_(mean_mel)
    return tensors
