"""The demo's speech tokenizer: Whisper's log-mel to units at 25 Hz.

In the real checkpoint it is an ONNX file, a recogniser's encoder with a codebook behind it; so is this one: the encoder
of Whisper tiny.en, whose outputs are averaged in pairs, and the nearest of 512 means that were found for the demo.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_omni.audio import MEL_BINS, mel_filters
from stream_omni_demo.speech.sounds import Projection

UNIT_S = 0.04
_QUIETEST = 1e-10  # energy in a mel bin, as Whisper has it
_RANGE = 2.0  # what is quieter than the loudest by so much is silence: 80 dB in Whisper's scale
_MASKED = -1e9


@dataclass(frozen=True)
class TokenizerSizes:
    """Those of Whisper tiny.en. The encoder hears ``pause_frames`` of silence (10 ms) after what is said."""

    units: int
    mel_bins: int = 80
    width: int = 384
    heads: int = 6
    layers: int = 4
    pause_frames: int = 40


class EncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, T, width] to the same; ``mask`` [B, 1, 1, T] is added to the scores."""
        q, k, v = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = torch.matmul(q, k.transpose(-1, -2)) * q.shape[-1] ** -0.5 + mask
        x = x + self.out(torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2).flatten(2))
        hidden: Tensor = self.narrow(F.gelu(self.widen(self.feed_forward_norm(x))))
        return x + hidden


class SpeechTokenizer(nn.Module):
    bins: Tensor

    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("bins", torch.from_numpy(_to_bins(sizes.mel_bins)))
        self.enter = nn.Conv1d(sizes.mel_bins, sizes.width, 3, padding=1)
        self.halve = nn.Conv1d(sizes.width, sizes.width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList([EncoderLayer(sizes.width, sizes.heads) for _ in range(sizes.layers)])
        self.norm = nn.LayerNorm(sizes.width)
        self.nearest = nn.Linear(sizes.width, sizes.units)

    @classmethod
    def of_whisper(cls, tensors: Mapping[str, NDArray[np.float32]], sizes: TokenizerSizes) -> SpeechTokenizer:
        """With the encoder of :func:`~stream_omni_demo.speech.whisper_weights.whisper_encoder`."""
        network = cls(sizes)
        places = {"enter": "conv1", "halve": "conv2", "norm": "layer_norm"}
        for number in range(sizes.layers):
            places |= {
                f"layers.{number}.{ours}": f"layer_{number}/{theirs}"
                for ours, theirs in (
                    ("attention_norm", "self_attention/layer_norm"),
                    ("qkv", "self_attention/linear_0"),
                    ("out", "self_attention/linear_1"),
                    ("feed_forward_norm", "ffn/layer_norm"),
                    ("widen", "ffn/linear_0"),
                    ("narrow", "ffn/linear_1"),
                )
            }
        for ours, theirs in places.items():
            names = ("gamma", "beta") if theirs.endswith("layer_norm") else ("weight", "bias")
            for ending, name in zip(("weight", "bias"), names, strict=True):
                network.get_parameter(f"{ours}.{ending}").data.copy_(torch.from_numpy(tensors[f"{theirs}/{name}"]))
        return network

    def set_codebook(self, means: Tensor, projection: Projection) -> None:
        """``means`` [units, directions] of what the projection makes of moments: the nearest to x is the one with the
        largest x m - m m / 2."""
        self.nearest.weight.data.copy_(means @ projection.matrix)
        self.nearest.bias.data.copy_(means @ projection.offset - means.square().sum(1) / 2)

    def heard(self, feats: Tensor, feats_length: Tensor) -> Tensor:
        """``feats`` [B, 128, T], of which the first ``feats_length`` [B] frames count, to what is looked up in the
        codebook: [B, ceil(ceil(T / 2) / 2), width]. Frames that do not count change nothing of those that do."""
        frames = feats.shape[2]
        length = feats_length[:, None, None].to(torch.int64)
        inside = torch.arange(frames, device=feats.device) < length
        energy = torch.where(inside, torch.pow(10.0, 4 * feats - 4), torch.zeros_like(feats))
        mel = (torch.log10(torch.matmul(self.bins, energy).clamp(min=_QUIETEST)) + 4) / 4
        silence = mel.amax((1, 2), keepdim=True) - _RANGE
        pause = silence.expand(-1, self.sizes.mel_bins, self.sizes.pause_frames)
        mel = torch.cat([torch.maximum(mel, silence), pause], 2)
        known = length + self.sizes.pause_frames
        x = F.gelu(self.enter(_first(mel, known)))
        known = (known + 1) // 2
        x = _first(F.gelu(self.halve(_first(x, length + self.sizes.pause_frames))), known).transpose(1, 2)
        positions = torch.arange(x.shape[1], device=x.device)
        mask = torch.where(positions < known, 0.0, _MASKED)[:, None]
        x = x + _sinusoids(positions, self.sizes.width)
        for layer in self.layers:
            x = layer(x, mask)
        return _mean_of_pairs(self.norm(x)[:, : (frames + 1) // 2], (length + 1) // 2)

    def forward(self, feats: Tensor, feats_length: Tensor) -> Tensor:
        """Units, int64 [B, ceil(ceil(T / 2) / 2)]."""
        units: Tensor = self.nearest(self.heard(feats, feats_length)).argmax(-1)
        return units


def _first(x: Tensor, length: Tensor) -> Tensor:
    """The first ``length`` [B, 1, 1] of [B, C, T]; zero after them."""
    return x.masked_fill(torch.arange(x.shape[2], device=x.device) >= length, 0.0)


def _mean_of_pairs(x: Tensor, length: Tensor) -> Tensor:
    """[B, T, width], of which the first ``length`` [B, 1, 1] count, to [B, ceil(T / 2), width]. An odd one is its own
    mean."""
    inside = (torch.arange(x.shape[1], device=x.device)[:, None] < length).to(x.dtype)  # [B, T, 1]
    even = (x.shape[1] + 1) // 2 * 2
    sums, counts = (
        torch.unflatten(torch.cat([each, torch.zeros_like(each[:, :1])], 1)[:, :even], 1, (-1, 2)).sum(2)
        for each in (x * inside, inside)
    )
    return sums / counts.clamp(min=1)


def unit_count(frames: int) -> int:
    """Units of so many log-mel frames."""
    return ((frames + 1) // 2 + 1) // 2


def _sinusoids(positions: Tensor, width: int) -> Tensor:
    """[T] to [T, width]: half sines, half cosines, as Whisper's encoder has them."""
    rates = torch.exp(torch.arange(width // 2, device=positions.device) * (-math.log(10_000) / (width // 2 - 1)))
    phases = positions[:, None] * rates
    return torch.cat([phases.sin(), phases.cos()], 1)


def _to_bins(bins: int) -> NDArray[np.float32]:
    """[bins, 128]: energies in fewer mel bins, which are wider than ours, as sums of those in ours."""
    made = np.linalg.lstsq(
        mel_filters(MEL_BINS).T.astype(np.float64), mel_filters(bins).T.astype(np.float64), rcond=1e-3
    )
    return np.maximum(made[0].T, 0).astype(np.float32)
