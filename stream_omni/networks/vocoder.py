"""HiFT, CosyVoice's vocoder: mel frames and a harmonic source to a waveform, by way of a short-time spectrum
(HiFTNet, Li et al. 2023). The source is made on the host from the F0 predictor's output
(:mod:`stream_omni.harmonic_source`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo, VocoderSizes
from stream_omni.networks.convolution import Conv, TransposedConv
from stream_omni.networks.linear import Linear
from stream_omni.networks.short_time_fourier import ShortTimeFourier
from stream_omni.networks.weights import Network, same_names
from stream_omni.weights import Weight, fold_weight_norm

F0_CONVOLUTIONS = 5
LAST_SLOPE = 0.01  # of the leaky ReLU before the last convolution, whatever the checkpoint's slope elsewhere
LARGEST_MAGNITUDE = 100.0
SNAKE_EPS = 1e-9


def folded(convolution: nn.Module, prefix: str, source: str) -> dict[str, Weight]:
    """Origins of a convolution that the checkpoint holds with weight norm."""
    weight, bias = convolution.get_parameter("weight"), convolution.get_parameter("bias")
    shape = tuple(weight.shape)
    sources = (f"{source}.weight_g", f"{source}.weight_v")
    return {
        f"{prefix}.weight": Weight(sources, ((shape[0], 1, 1), shape), fold_weight_norm),
        f"{prefix}.bias": Weight((f"{source}.bias",), (tuple(bias.shape),)),
    }


def _vocoder_sizes(info: ModelInfo) -> tuple[int, VocoderSizes]:
    """Mel channels and the vocoder's own sizes."""
    if info.flow is None or info.vocoder is None:
        raise ValueError(f"{info.name} was described without a CosyVoice checkpoint, so it has no vocoder")
    return info.flow.mel_channels, info.vocoder


class F0Predictor(Network):
    """Mel to F0 in Hz: see ``f0_predictor`` in :mod:`stream_omni.graphs`."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        mel, sizes = _vocoder_sizes(info)
        channels = sizes.f0_channels
        self.convolutions = nn.ModuleList(
            [Conv(channels if i else mel, channels, 3, padding=1) for i in range(F0_CONVOLUTIONS)]
        )
        self.classify = Linear(channels, 1, bias=True)

    def weights(self) -> dict[str, Weight]:
        found = self.classify.weights("classify", ("f0_predictor.classifier", 1))
        for i, convolution in enumerate(self.convolutions):  # in the checkpoint: convolution, ELU, convolution ...
            found |= folded(convolution, f"convolutions.{i}", f"f0_predictor.condnet.{2 * i}")
        return found

    def forward(self, mel: Tensor) -> Tensor:
        for convolution in self.convolutions:
            mel = F.elu(convolution(mel))
        pitch: Tensor = self.classify(mel.transpose(1, 2))
        return pitch.squeeze(-1).abs()


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, a learnt periodic activation (Ziyin et al. 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:  # [B, channels, T]
        alpha = self.alpha[:, None]
        return x + (x * alpha).sin().square() / (alpha + SNAKE_EPS)


class ResBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each pair a residual; the length is kept."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def convolution(dilation: int) -> Conv:
            return Conv(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)

        self.dilated = nn.ModuleList([convolution(dilation) for dilation in dilations])
        self.plain = nn.ModuleList([convolution(1) for _ in dilations])
        self.dilated_snakes = nn.ModuleList([Snake(channels) for _ in dilations])
        self.plain_snakes = nn.ModuleList([Snake(channels) for _ in dilations])

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        found: dict[str, Weight] = {}
        for ours, theirs in (("dilated", "1"), ("plain", "2")):
            for i, convolution in enumerate(self.get_submodule(ours).children()):
                found |= folded(convolution, f"{prefix}.{ours}.{i}", f"{source}.convs{theirs}.{i}")
            for i, snake in enumerate(self.get_submodule(f"{ours}_snakes").children()):
                found |= same_names(snake, f"{prefix}.{ours}_snakes.{i}.", f"{source}.activations{theirs}.{i}.")
        return found

    def forward(self, x: Tensor) -> Tensor:
        layers = zip(self.dilated_snakes, self.dilated, self.plain_snakes, self.plain, strict=True)
        for dilated_snake, dilated, plain_snake, plain in layers:
            x = x + plain(plain_snake(dilated(dilated_snake(x))))
        return x


class Vocoder(Network):
    """Mel and source to a waveform: see ``vocoder`` in :mod:`stream_omni.graphs`."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        mel, self.sizes = _vocoder_sizes(info)
        sizes = self.sizes
        self.fourier = ShortTimeFourier(sizes.istft_size, sizes.istft_hop)
        bins = self.fourier.bins
        channels = [sizes.base_channels >> i for i in range(len(sizes.upsample_rates) + 1)]
        self.enter = Conv(mel, channels[0], 7, padding=3)
        self.faster, self.source_slower = nn.ModuleList(), nn.ModuleList()
        self.source_blocks, self.blocks = nn.ModuleList(), nn.ModuleList()
        remaining = math.prod(sizes.upsample_rates)
        for i, (rate, kernel) in enumerate(zip(sizes.upsample_rates, sizes.upsample_kernels, strict=True)):
            width, remaining = channels[i + 1], remaining // rate
            padding = (kernel - rate) // 2
            self.faster.append(TransposedConv(channels[i], width, kernel, stride=rate, padding=padding))
            shape = (1, 1, 0) if remaining == 1 else (2 * remaining, remaining, remaining // 2)
            self.source_slower.append(Conv(2 * bins, width, shape[0], stride=shape[1], padding=shape[2]))
            self.source_blocks.append(ResBlock(width, sizes.source_kernels[i], sizes.source_dilations[i]))
            for block_kernel, dilations in zip(sizes.resblock_kernels, sizes.resblock_dilations, strict=True):
                self.blocks.append(ResBlock(width, block_kernel, dilations))
        self.leave = Conv(channels[-1], 2 * bins, 7, padding=3)

    def weights(self) -> dict[str, Weight]:
        found = folded(self.enter, "enter", "conv_pre") | folded(self.leave, "leave", "conv_post")
        for i, (faster, slower) in enumerate(zip(self.faster, self.source_slower, strict=True)):
            found |= folded(faster, f"faster.{i}", f"ups.{i}")
            found |= same_names(slower, f"source_slower.{i}.", f"source_downs.{i}.")
        for ours, theirs in (("source_blocks", "source_resblocks"), ("blocks", "resblocks")):
            for i, block in enumerate(self.get_submodule(ours).children()):
                assert isinstance(block, ResBlock)
                found |= block.weights(f"{ours}.{i}", f"{theirs}.{i}")
        return found

    def forward(self, mel: Tensor, source: Tensor) -> Tensor:
        sizes = self.sizes
        spectrum = self.fourier.analyse(source[:, None])
        kinds, last = len(sizes.resblock_kernels), len(sizes.upsample_rates) - 1
        x = self.enter(mel)
        for i, faster in enumerate(self.faster):
            x = faster(F.leaky_relu(x, sizes.lrelu_slope))
            if i == last:  # one frame more, as the spectrum has
                x = torch.cat([x[..., 1:2], x], dim=-1)
            x = x + self.source_blocks[i](self.source_slower[i](spectrum))
            x = sum(block(x) for block in self.blocks[kinds * i : kinds * (i + 1)]) / kinds
        magnitude, phase = self.leave(F.leaky_relu(x, LAST_SLOPE)).split([self.fourier.bins] * 2, 1)
        waveform = self.fourier.synthesise(magnitude.exp().clamp(max=LARGEST_MAGNITUDE), phase.sin())
        return waveform.squeeze(1).clamp(-sizes.audio_limit, sizes.audio_limit)
