"""The sizes of random checkpoint: everything that tells one from another, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stream_omni.model_info import LlamaSizes, Rope, VisionSizes

_ROPE = Rope(theta=500000.0, factor=8.0)  # Llama 3.1
_PICTURE_PX, _PATCH_PX = 384, 14  # SigLIP-so400m; the merging of tiles builds on its 27 x 27 patches


@dataclass(frozen=True)
class CosyVoiceSizes:
    """What differs between vocoders; what the real one has in common with the small ones is in `cosyvoice_tensors`."""

    encoder_width: int
    encoder_heads: int
    encoder_intermediate: int
    encoder_layers: int
    estimator_width: int
    estimator_heads: int
    estimator_head_size: int
    estimator_blocks: int
    estimator_mid_blocks: int
    vocoder_channels: int
    f0_channels: int
    temperature: float = 1.0  # of the flow


@dataclass(frozen=True)
class RandomSize:
    """One checkpoint's geometry.

    ``learned_tokens`` are the rows of the tokenizer below the special tokens; ``text_covers_units`` says whether the
    text tables have rows for the speech units too (both layouts exist); ``answers_end`` whether greedy answers may
    stop before their limit.
    """

    name: str
    llama: LlamaSizes
    vision: VisionSizes
    vision_folder: str  # a folder in the checkpoint, or the name of a published tower
    cosyvoice: CosyVoiceSizes
    learned_tokens: int
    special_tokens: int
    units: int
    text_covers_units: bool
    answers_end: bool
    aspect_ratio: str
    grid_pinpoints: str | list[list[int]]
    context_tokens: int
    dtype: str  # of the language model's file; CosyVoice's is always float32
    shard_bytes: int | None  # None: one file

    @property
    def vocabulary(self) -> int:
        return self.learned_tokens + self.special_tokens + self.units

    @property
    def text_vocabulary(self) -> int:
        return self.vocabulary if self.text_covers_units else self.vocabulary - self.units


def _llama(hidden: int, intermediate: int, heads: tuple[int, int], layers: tuple[int, int, int]) -> LlamaSizes:
    """``heads``: query, key and value; ``layers``: bottom, LLM, top."""
    return LlamaSizes(hidden, intermediate, *heads, hidden // heads[0], *layers, rms_norm_eps=1e-5, rope=_ROPE)


def _vision(width: int, intermediate: int, heads: int, layers: int) -> VisionSizes:
    return VisionSizes(width, intermediate, heads, layers, _PICTURE_PX, _PATCH_PX, layer_norm_eps=1e-6)


_SMALL_GRID = [[384, 768], [768, 384], [768, 768], [1152, 384], [384, 1152]]
_SMALL_COSYVOICE = CosyVoiceSizes(
    encoder_width=32,
    encoder_heads=2,
    encoder_intermediate=64,
    encoder_layers=2,
    estimator_width=16,
    estimator_heads=2,
    estimator_head_size=8,
    estimator_blocks=2,
    estimator_mid_blocks=2,
    vocoder_channels=32,
    f0_channels=32,
)

TINY = RandomSize(
    name="tiny",
    llama=_llama(64, 128, (4, 2), (2, 4, 2)),
    vision=_vision(32, 64, 2, 2),
    vision_folder="siglip-tiny",
    cosyvoice=_SMALL_COSYVOICE,
    learned_tokens=1016,
    special_tokens=8,
    units=512,
    text_covers_units=False,
    answers_end=True,
    aspect_ratio="pad",
    grid_pinpoints=_SMALL_GRID,
    context_tokens=8192,
    dtype="float32",
    shard_bytes=None,
)

MID = RandomSize(
    name="mid",
    llama=_llama(512, 1536, (8, 4), (3, 8, 5)),
    vision=_vision(64, 128, 4, 3),
    vision_folder="siglip-mid",
    cosyvoice=_SMALL_COSYVOICE,
    learned_tokens=128000,
    special_tokens=256,
    units=4096,
    text_covers_units=True,
    answers_end=False,
    aspect_ratio="pad",
    grid_pinpoints=_SMALL_GRID,
    context_tokens=8192,
    dtype="float16",
    shard_bytes=256_000_000,
)

REAL = RandomSize(
    name="8b",
    llama=_llama(4096, 14336, (32, 8), (3, 32, 5)),
    vision=_vision(1152, 4304, 16, 26),
    vision_folder="google/siglip-so400m-patch14-384",
    cosyvoice=CosyVoiceSizes(
        encoder_width=512,
        encoder_heads=8,
        encoder_intermediate=2048,
        encoder_layers=6,
        estimator_width=256,
        estimator_heads=8,
        estimator_head_size=64,
        estimator_blocks=4,
        estimator_mid_blocks=12,
        vocoder_channels=512,
        f0_channels=512,
    ),
    learned_tokens=128000,
    special_tokens=256,
    units=4096,
    text_covers_units=False,
    answers_end=False,
    aspect_ratio="anyres_max_9",
    grid_pinpoints="(1x1),...,(6x6)",
    context_tokens=32768,
    dtype="float16",
    shard_bytes=4_000_000_000,
)

# two of the LLM's layers, the rest as it is: for a disk that cannot hold all
SHORT = replace(REAL, name="8b-short", llama=_llama(4096, 14336, (32, 8), (3, 2, 5)))

SIZES = {size.name: size for size in (TINY, MID, REAL, SHORT)}
