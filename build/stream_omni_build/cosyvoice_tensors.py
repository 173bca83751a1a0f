"""Every tensor of CosyVoice's flow.pt, hift.pt and spk2info.pt: name, shape and spread."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from stream_omni_build.random_sizes import CosyVoiceSizes
from stream_omni_build.random_tensors import RandomTensor, Rows

# What the real checkpoint and the small ones have in common
MEL_CHANNELS = 80
SPEAKER_SIZE = 192
UPSAMPLE_RATES = (8, 8)
UPSAMPLE_KERNELS = (16, 16)
RESBLOCK_KERNELS = (3, 7, 11)
SOURCE_KERNELS = (7, 11)
DILATIONS = (1, 3, 5)
ISTFT_SIZE = 16
HARMONICS = 9  # the fundamental and eight above it
VOICES = ("英文女", "中文女")


def flow_tensors(sizes: CosyVoiceSizes, units: int) -> list[RandomTensor]:
    width, mel = sizes.encoder_width, MEL_CHANNELS
    return [
        RandomTensor("input_embedding.weight", (units, width), 1 / math.sqrt(width)),
        *_linear("spk_embed_affine_layer", mel, SPEAKER_SIZE),
        *_linear("encoder.embed.out.0", width, width),
        *_norm("encoder.embed.out.1", width),
        *_norm("encoder.after_norm", width),
        *(t for i in range(sizes.encoder_layers) for t in _encoder_layer(f"encoder.encoders.{i}.", sizes)),
        *_linear("encoder_proj", mel, width),
        *_estimator("decoder.estimator.", sizes),
        *_length_regulator("length_regulator.model."),
    ]


def vocoder_tensors(sizes: CosyVoiceSizes) -> list[RandomTensor]:
    base, bins = sizes.vocoder_channels, ISTFT_SIZE // 2 + 1
    widths = [base >> (i + 1) for i in range(len(UPSAMPLE_RATES))]
    tensors = [
        *_linear("m_source.l_linear", 1, HARMONICS),
        *_weight_norm("conv_pre", (base, MEL_CHANNELS, 7)),
    ]
    for i, (width, kernel) in enumerate(zip(widths, UPSAMPLE_KERNELS, strict=True)):
        # a transposed convolution: its first axis is the input, two taps of which meet in each output sample
        tensors += _weight_norm(f"ups.{i}", (2 * width, width, kernel), gain=2.0, bias=width)
    for i, (width, kernel) in enumerate(zip(widths, SOURCE_KERNELS, strict=True)):
        stride = math.prod(UPSAMPLE_RATES[i + 1 :])
        tensors += _linear(f"source_downs.{i}", width, 2 * bins, 2 * stride if stride > 1 else 1)
        tensors += _resblock(f"source_resblocks.{i}.", width, kernel)
    for i, (width, kernel) in enumerate((w, k) for w in widths for k in RESBLOCK_KERNELS):
        tensors += _resblock(f"resblocks.{i}.", width, kernel)
    # The first rows give logarithms of magnitudes: low and steady enough that the waveform is not clipped
    spectrum = _weight_norm("conv_post", (2 * bins, widths[-1], 7), gain=0.5)
    quiet = {"bias": Rows(range(bins), 0.1, mean=-1.2), "weight_g": Rows(range(bins), 0.01, mean=0.12)}
    for tensor in spectrum:
        rows = quiet.get(tensor.name.rpartition(".")[2])
        tensors.append(replace(tensor, rows=(rows,)) if rows else tensor)
    for i in range(5):
        inputs = sizes.f0_channels if i else MEL_CHANNELS
        tensors += _weight_norm(f"f0_predictor.condnet.{2 * i}", (sizes.f0_channels, inputs, 3))
    # in Hz: spread over voiced and unvoiced (under 10 Hz) frames
    tensors.append(
        RandomTensor("f0_predictor.classifier.weight", (1, sizes.f0_channels), 220 / math.sqrt(sizes.f0_channels))
    )
    tensors.append(RandomTensor("f0_predictor.classifier.bias", (1,), 0.0, mean=60.0))
    return tensors


def voice_tensors() -> list[RandomTensor]:
    """Speaker embeddings, named by voice."""
    return [RandomTensor(voice, (1, SPEAKER_SIZE), 1.0) for voice in VOICES]


def _encoder_layer(prefix: str, sizes: CosyVoiceSizes) -> Iterator[RandomTensor]:
    width, heads, head_size = sizes.encoder_width, sizes.encoder_heads, sizes.encoder_width // sizes.encoder_heads
    attention = prefix + "self_attn."
    for side in "uv":
        yield RandomTensor(f"{attention}pos_bias_{side}", (heads, head_size), 1 / math.sqrt(head_size))
    for part in ("q", "k", "v", "out"):
        yield from _linear(f"{attention}linear_{part}", width, width)
    yield _weight(attention + "linear_pos", width, width)
    yield from _linear(prefix + "feed_forward.w_1", sizes.encoder_intermediate, width)
    yield from _linear(prefix + "feed_forward.w_2", width, sizes.encoder_intermediate)
    yield from _norm(prefix + "norm_ff", width)
    yield from _norm(prefix + "norm_mha", width)


def _estimator(prefix: str, sizes: CosyVoiceSizes) -> Iterator[RandomTensor]:
    """The U-net. Time is halved once: the first way down and the first way up change the rate, the others do not."""
    width, time_width = sizes.estimator_width, 4 * sizes.estimator_width
    inputs = 4 * MEL_CHANNELS  # x, mu, speaker, condition
    yield from _linear(prefix + "time_mlp.linear_1", time_width, inputs)
    yield from _linear(prefix + "time_mlp.linear_2", time_width, time_width)
    for i, joint in enumerate(("2.conv", "2")):
        block = f"{prefix}down_blocks.{i}."
        yield from _unet_block(block, width if i else inputs, sizes, sizes.estimator_blocks)
        yield from _linear(block + joint, width, width, 3)
    for i in range(sizes.estimator_mid_blocks):
        yield from _unet_block(f"{prefix}mid_blocks.{i}.", width, sizes, sizes.estimator_blocks)
    for i, (joint, kernel) in enumerate((("2.conv", 4), ("2", 3))):
        block = f"{prefix}up_blocks.{i}."
        yield from _unet_block(block, 2 * width, sizes, sizes.estimator_blocks)
        yield from _linear(block + joint, width, width, kernel)
    yield from _convolution_block(prefix + "final_block.block.", width, width)
    yield from _linear(prefix + "final_proj", MEL_CHANNELS, width, 1)


def _unet_block(prefix: str, inputs: int, sizes: CosyVoiceSizes, transformers: int) -> Iterator[RandomTensor]:
    width, inner = sizes.estimator_width, sizes.estimator_heads * sizes.estimator_head_size
    yield from _linear(prefix + "0.mlp.1", width, 4 * width)
    yield from _convolution_block(prefix + "0.block1.block.", width, inputs)
    yield from _convolution_block(prefix + "0.block2.block.", width, width)
    yield from _linear(prefix + "0.res_conv", width, inputs, 1)
    for block in (f"{prefix}1.{j}." for j in range(transformers)):
        yield from _norm(block + "norm1", width)
        for part in "qkv":
            yield _weight(f"{block}attn1.to_{part}", inner, width)
        yield from _linear(block + "attn1.to_out.0", width, inner)
        yield from _norm(block + "norm3", width)
        yield from _linear(block + "ff.net.0.proj", 4 * width, width)
        yield from _linear(block + "ff.net.2", width, 4 * width)


def _convolution_block(prefix: str, width: int, inputs: int) -> Iterator[RandomTensor]:
    yield from _linear(prefix + "0", width, inputs, 3)
    yield from _norm(prefix + "1", width)


def _length_regulator(prefix: str) -> Iterator[RandomTensor]:
    for i in (0, 3, 6, 9):  # convolution, norm, activation
        yield from _linear(f"{prefix}{i}", MEL_CHANNELS, MEL_CHANNELS, 3)
        yield from _norm(f"{prefix}{i + 1}", MEL_CHANNELS)
    yield from _linear(prefix + "12", MEL_CHANNELS, MEL_CHANNELS, 1)


def _resblock(prefix: str, width: int, kernel: int) -> Iterator[RandomTensor]:
    for i in range(len(DILATIONS)):
        for half in ("1", "2"):
            yield from _weight_norm(f"{prefix}convs{half}.{i}", (width, width, kernel))
            yield RandomTensor(f"{prefix}activations{half}.{i}.alpha", (width,), 0.2, mean=1.0)  # stays positive


def _weight_norm(
    name: str, shape: tuple[int, int, int], gain: float = 1.0, bias: int | None = None
) -> Iterator[RandomTensor]:
    """Old style: weight = weight_g * weight_v / norm(weight_v), the norm over all axes but the first."""
    yield RandomTensor(name + ".bias", (shape[0] if bias is None else bias,), 0.1)
    yield RandomTensor(name + ".weight_g", (shape[0], 1, 1), 0.1 * gain, mean=gain)
    yield RandomTensor(name + ".weight_v", shape, 1.0)


def _weight(name: str, *shape: int) -> RandomTensor:
    return RandomTensor(name + ".weight", shape, 1 / math.sqrt(math.prod(shape[1:])))


def _linear(name: str, *shape: int) -> Iterator[RandomTensor]:
    """A matrix or a convolution's kernel, with its bias."""
    yield _weight(name, *shape)
    yield RandomTensor(name + ".bias", (shape[0],), 0.1)


def _norm(name: str, width: int) -> Iterator[RandomTensor]:
    yield RandomTensor(name + ".weight", (width,), 0.1, mean=1.0)
    yield RandomTensor(name + ".bias", (width,), 0.1)
