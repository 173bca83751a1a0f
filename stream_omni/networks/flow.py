"""CosyVoice's flow: speech units to mel frames by a conditional flow (Lipman et al., "Flow matching").

Two graphs: the encoder runs once, the estimator once a step of the ODE, which :mod:`stream_omni.token2wav` solves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stream_omni.model_info import FlowSizes, ModelInfo
from stream_omni.networks.conformer import Conformer
from stream_omni.networks.convolution import Conv
from stream_omni.networks.linear import Linear
from stream_omni.networks.operators import constant, exponential
from stream_omni.networks.unet import ConvBlock, UNet
from stream_omni.networks.weights import Network, same_names
from stream_omni.weights import Weight

TIME_SCALE = 1000.0  # the embedding's unit: thousandths of the ODE's time
LONGEST_WAVE = 10000.0


def _flow_sizes(info: ModelInfo) -> FlowSizes:
    if info.flow is None:
        raise ValueError(f"{info.name} was described without a CosyVoice checkpoint, so it has no flow")
    return info.flow


class FlowEncoder(Network):
    """Units and a voice to the flow's mean: see ``flow_encoder`` in :mod:`stream_omni.graphs`."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        sizes = _flow_sizes(info)
        mel = sizes.mel_channels
        self.embedding = nn.Embedding(sizes.units, sizes.unit_embedding_size)
        self.encoder = Conformer(
            sizes.unit_embedding_size,
            sizes.encoder_width,
            sizes.encoder_heads,
            sizes.encoder_intermediate,
            sizes.encoder_layers,
        )
        self.project = Linear(sizes.encoder_width, mel, bias=True)
        self.speaker = Linear(sizes.speaker_size, mel, bias=True)
        self.smooth = nn.ModuleList([ConvBlock(mel, mel, groups=1) for _ in range(sizes.regulator_blocks)])
        self.finish = Conv(mel, mel, 1)

    def weights(self) -> dict[str, Weight]:
        mel, regulator = self.finish.weight.shape[0], "length_regulator.model"
        found = (
            same_names(self.embedding, "embedding.", "input_embedding.")
            | self.encoder.weights("encoder", "encoder")
            | self.project.weights("project", ("encoder_proj", mel))
            | self.speaker.weights("speaker", ("spk_embed_affine_layer", mel))
            | same_names(self.finish, "finish.", f"{regulator}.{3 * len(self.smooth)}.")
        )
        for i, block in enumerate(self.smooth):  # in the checkpoint: convolution, norm, Mish, convolution ...
            assert isinstance(block, ConvBlock)
            found |= block.weights(f"smooth.{i}", f"{regulator}.{3 * i}", f"{regulator}.{3 * i + 1}")
        return found

    def forward(
        self, units: Tensor, speaker: Tensor, left: Tensor, right: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        norm = speaker.norm(dim=1, keepdim=True).clamp(min=1e-12)
        encoder_out = self.encoder(self.embedding(units))  # [B, N, encoder_width]
        projected = self.project(encoder_out)  # [B, N, mel]
        share = weight[..., None]
        mu = ((1 - share) * pick(projected, left) + share * pick(projected, right)).transpose(1, 2)  # [B, mel, T]
        for block in self.smooth:
            mu = block(mu)
        return encoder_out, self.speaker(speaker / norm), self.finish(mu)


def pick(rows: Tensor, index: Tensor) -> Tensor:
    """Rows of [B, N, C] at [B, T]: [B, T, C]."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))


class FlowEstimator(Network):
    """The flow's velocity at one time of the ODE: see ``flow_estimator`` in :mod:`stream_omni.graphs`."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        sizes = _flow_sizes(info)
        self.in_channels = 4 * sizes.mel_channels  # x, mu, speaker, condition
        self.rates = time_rates(self.in_channels // 2)
        time_size = 4 * sizes.estimator_channels[0]
        self.time_first = Linear(self.in_channels, time_size, bias=True)
        self.time_second = Linear(time_size, time_size, bias=True)
        self.unet = UNet(
            self.in_channels,
            sizes.mel_channels,
            sizes.estimator_channels,
            sizes.estimator_heads,
            sizes.estimator_head_size,
            sizes.estimator_blocks,
            sizes.estimator_mid_blocks,
        )

    def weights(self) -> dict[str, Weight]:
        source, size = "decoder.estimator", self.time_first.weight.shape[1]
        return (
            self.time_first.weights("time_first", (f"{source}.time_mlp.linear_1", size))
            | self.time_second.weights("time_second", (f"{source}.time_mlp.linear_2", size))
            | self.unet.weights("unet", source)
        )

    def forward(self, x: Tensor, mu: Tensor, speaker: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        voice = speaker[:, :, None].expand(-1, -1, x.shape[2])
        velocity: Tensor = self.unet(torch.cat([x, mu, voice, condition], dim=1), self._embed(time))
        return velocity

    def _embed(self, time: Tensor) -> Tensor:
        """[B] to what every residual block receives: [B, time_size]."""
        angles = time[:, None] * constant(self.rates, like=time)
        hidden = self.time_first(torch.cat([angles.sin(), angles.cos()], dim=1))
        return nn.functional.mish(self.time_second(nn.functional.silu(hidden)))


def time_rates(count: int) -> Tensor:
    """Angle per time of each sine/cosine pair: [count]."""
    steps = torch.arange(count, dtype=torch.float32, device="cpu")
    return TIME_SCALE * exponential(steps * -(math.log(LONGEST_WAVE) / (count - 1)))
