"""What everything outside the networks needs to know of a checkpoint: sizes, special ids, layouts.

The values come from the checkpoint's own files (see :mod:`stream_omni.checkpoint`); a build writes them beside the
graphs as ``assets/model.json``, so that a served stage needs neither the checkpoint nor PyTorch.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding with the "llama3" frequency scaling; ``factor`` 1 means unscaled."""

    theta: float
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True)
class LlamaSizes:
    """Sizes shared by the bottom, LLM and top stacks, and the number of layers of each."""

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    bottom_layers: int
    llm_layers: int
    top_layers: int
    rms_norm_eps: float
    rope: Rope


@dataclass(frozen=True)
class Vocabulary:
    """Row counts of the tables and the special ids. Speech unit ``u`` has the id ``unit_offset + u``."""

    size: int
    text_size: int
    units: int
    bos: int
    eot: int
    blank: int
    eos: tuple[int, ...]

    @property
    def unit_offset(self) -> int:
        return self.size - self.units


@dataclass(frozen=True)
class VisionSizes:
    """Vision tower; ``layers`` counts those that run (the checkpoint's last one is already deleted)."""

    width: int
    intermediate: int
    heads: int
    layers: int
    image_size_px: int
    patch_size_px: int
    layer_norm_eps: float

    @property
    def side_patches(self) -> int:
        return self.image_size_px // self.patch_size_px

    @property
    def patches(self) -> int:
        return self.side_patches**2


@dataclass(frozen=True)
class ImageLayout:
    """How a picture becomes tiles and tiles become prompt positions (config.json's own three switches)."""

    aspect_ratio: str  # "pad", "square", "anyres", "anyres_max_N"
    merge_type: str  # "flat", "spatial", "spatial_unpad", ...
    grid_pinpoints: tuple[tuple[int, int], ...]  # (width, height) in pixels


@dataclass(frozen=True)
class FlowSizes:
    """CosyVoice flow: encoder and estimator sizes, and how its ODE is solved."""

    units: int
    unit_embedding_size: int
    speaker_size: int
    mel_channels: int
    encoder_width: int
    encoder_heads: int
    encoder_intermediate: int
    encoder_layers: int
    regulator_blocks: int  # convolution blocks after the interpolation to the mel rate
    unit_rate_hz: int
    estimator_channels: tuple[int, ...]
    estimator_heads: int
    estimator_head_size: int
    estimator_blocks: int
    estimator_mid_blocks: int
    guidance_rate: float
    temperature: float = 1.0  # standard deviation of the noise that the ODE starts from


@dataclass(frozen=True)
class VocoderSizes:
    """HiFT vocoder: network sizes, and what the host needs to make the harmonic source."""

    base_channels: int
    f0_channels: int
    sample_rate_hz: int
    hop_samples: int  # waveform samples in a mel frame: upsample rates times iSTFT hop
    upsample_rates: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    istft_size: int
    istft_hop: int
    resblock_kernels: tuple[int, ...]
    resblock_dilations: tuple[tuple[int, ...], ...]
    source_kernels: tuple[int, ...]
    source_dilations: tuple[tuple[int, ...], ...]
    lrelu_slope: float
    audio_limit: float
    harmonics: int  # sines including the fundamental
    sine_amplitude: float
    noise_sigma: float
    voiced_threshold_hz: float
    harmonic_weights: tuple[float, ...]  # [harmonics] of m_source.l_linear
    harmonic_bias: float


@dataclass(frozen=True)
class ModelInfo:
    """One checkpoint, described. ``context_tokens`` bounds prompt plus answer; ``default_voice`` names a voice.

    Two are no facts of the checkpoint but choices of the build. ``only_units``: whether speech ids other than units and
    end ids have been left out of the graphs, and so can never be chosen; the reference leaves none out.
    ``screened_heads``: whether there are also graphs that read only a quarter of the large heads.
    """

    name: str
    llama: LlamaSizes
    vocabulary: Vocabulary
    vision: VisionSizes
    image: ImageLayout
    context_tokens: int
    system_prompt: str
    flow: FlowSizes | None = None
    vocoder: VocoderSizes | None = None
    default_voice: str = ""
    only_units: bool = False
    screened_heads: bool = False

    @property
    def speech_ids(self) -> Sequence[int]:
        """The id of each row of the speech stacks' head, ascending."""
        vocabulary = self.vocabulary
        if not self.only_units:
            return range(vocabulary.size)
        return sorted({*vocabulary.eos, *range(vocabulary.unit_offset, vocabulary.size)})

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> ModelInfo:
        info: ModelInfo = _build(cls, json.loads(path.read_text(encoding="utf-8")))
        return info


_NESTED: dict[str, Any] = {
    "llama": LlamaSizes,
    "rope": Rope,
    "vocabulary": Vocabulary,
    "vision": VisionSizes,
    "image": ImageLayout,
    "flow": FlowSizes,
    "vocoder": VocoderSizes,
}


def _build(kind: Any, values: dict[str, Any]) -> Any:
    """The dataclass from its JSON form; lists become tuples, so that the result is hashable, as the original."""
    return kind(
        **{k: _build(_NESTED[k], v) if k in _NESTED and v is not None else _tuples(v) for k, v in values.items()}
    )


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
