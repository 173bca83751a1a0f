"""Reads a CosyVoice directory: ``cosyvoice.yaml``, ``flow.pt``, ``hift.pt`` and ``spk2info.pt``.

Nothing in these files is executed: the YAML's tags, which in training name classes to construct, yield plain data, and
the pickles only tensors and plain data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.cosyvoice_yaml import Section
from stream_omni.model_info import FlowSizes, VocoderSizes
from stream_omni.pickled_tensors import PickledTensors, read_pickle
from stream_omni.tensor_files import StoredTensor
from stream_omni.weights import SOURCE_LINEAR

CONFIGURATION = "cosyvoice.yaml"
VOICES = "spk2info.pt"
SPEECH_TOKENIZER = "speech_tokenizer_v1.onnx"

Voices = dict[str, NDArray[np.float32]]


def open_flow(directory: Path) -> PickledTensors:
    return PickledTensors(directory / "flow.pt")


def open_hift(directory: Path) -> PickledTensors:
    """Some releases hold the discriminator's partner, with its "generator." before each name."""
    return PickledTensors(directory / "hift.pt", prefix="generator.")


def read_cosyvoice(directory: Path) -> tuple[FlowSizes, VocoderSizes, Voices]:
    """Sizes of both networks, and the voices: name -> speaker embedding [speaker_size].

    Raises CheckpointError, naming the file and what is wrong with it.
    """
    configuration = Section.read(directory / CONFIGURATION)
    flow, vocoder = _flow_sizes(configuration), _vocoder_sizes(configuration, open_hift(directory))
    return flow, vocoder, read_voices(directory / VOICES, flow.speaker_size)


def read_voices(path: Path, speaker_size: int) -> Voices:
    found: Voices = {}
    for name, info in read_pickle(path).items():
        embedding = info.get("embedding") if isinstance(info, Mapping) else None
        if not isinstance(embedding, StoredTensor) or math.prod(embedding.shape) != speaker_size:
            shape = embedding.shape if isinstance(embedding, StoredTensor) else None
            raise CheckpointError(
                f"{path}: voice {name!r} has an embedding of shape {shape}, not {speaker_size} values"
            )
        found[str(name)] = embedding.read().flatten()
    if not found:
        raise CheckpointError(f"{path} holds no voice")
    return found


def _flow_sizes(configuration: Section) -> FlowSizes:
    flow = configuration.section("flow")
    encoder, regulator, decoder = flow.section("encoder"), flow.section("length_regulator"), flow.section("decoder")
    estimator, solver = decoder.section("estimator"), decoder.section("cfm_params").section("content")
    # what the networks here implement, where the file could ask for something else
    encoder.require("normalize_before", True)
    encoder.require("input_layer", "linear")
    encoder.require("pos_enc_layer_type", "rel_pos_espnet")
    encoder.require("selfattention_layer_type", "rel_selfattn")
    encoder.require("use_cnn_module", False)
    encoder.require("macaron_style", False)
    solver.require("solver", "euler")
    solver.require("t_scheduler", "cosine")
    estimator.require("act_fn", "gelu")
    estimator.require("in_channels", 4 * flow.integer("output_size"))
    return FlowSizes(
        units=flow.integer("vocab_size"),
        unit_embedding_size=flow.integer("input_size"),
        speaker_size=flow.integer("spk_embed_dim"),
        mel_channels=flow.integer("output_size"),
        encoder_width=encoder.integer("output_size"),
        encoder_heads=encoder.integer("attention_heads"),
        encoder_intermediate=encoder.integer("linear_units"),
        encoder_layers=encoder.integer("num_blocks"),
        regulator_blocks=len(regulator.integers("sampling_ratios")),
        unit_rate_hz=flow.integer("input_frame_rate"),
        estimator_channels=estimator.integers("channels"),
        estimator_heads=estimator.integer("num_heads"),
        estimator_head_size=estimator.integer("attention_head_dim"),
        estimator_blocks=estimator.integer("n_blocks"),
        estimator_mid_blocks=estimator.integer("num_mid_blocks"),
        guidance_rate=solver.number("inference_cfg_rate"),
        temperature=solver.number("temperature", 1.0),  # the released files have none: the solver's own default
    )


def _vocoder_sizes(configuration: Section, tensors: PickledTensors) -> VocoderSizes:
    hift = configuration.section("hift")
    istft, upsample_rates = hift.section("istft_params"), hift.integers("upsample_rates")
    hop = istft.integer("hop_len")
    for rate in upsample_rates:
        hop *= rate
    harmonics = hift.integer("nb_harmonics") + 1
    weights, bias = _source_linear(tensors, harmonics)
    return VocoderSizes(
        base_channels=hift.integer("base_channels"),
        f0_channels=hift.section("f0_predictor").integer("cond_channels"),
        sample_rate_hz=hift.integer("sampling_rate"),
        hop_samples=hop,
        upsample_rates=upsample_rates,
        upsample_kernels=hift.integers("upsample_kernel_sizes"),
        istft_size=istft.integer("n_fft"),
        istft_hop=istft.integer("hop_len"),
        resblock_kernels=hift.integers("resblock_kernel_sizes"),
        resblock_dilations=hift.integer_lists("resblock_dilation_sizes"),
        source_kernels=hift.integers("source_resblock_kernel_sizes"),
        source_dilations=hift.integer_lists("source_resblock_dilation_sizes"),
        lrelu_slope=hift.number("lrelu_slope"),
        audio_limit=hift.number("audio_limit"),
        harmonics=harmonics,
        sine_amplitude=hift.number("nsf_alpha"),
        noise_sigma=hift.number("nsf_sigma"),
        voiced_threshold_hz=hift.number("nsf_voiced_threshold"),
        harmonic_weights=weights,
        harmonic_bias=bias,
    )


def _source_linear(tensors: PickledTensors, harmonics: int) -> tuple[tuple[float, ...], float]:
    shapes, wanted = tensors.shapes(), {f"{SOURCE_LINEAR}.weight": (1, harmonics), f"{SOURCE_LINEAR}.bias": (1,)}
    for name, shape in wanted.items():
        if shapes.get(name) != shape:
            raise CheckpointError(f"hift.pt: {name} has shape {shapes.get(name)}, not {shape}")
    weights = tuple(float(w) for w in tensors.get(f"{SOURCE_LINEAR}.weight").flatten())
    return weights, float(tensors.get(f"{SOURCE_LINEAR}.bias")[0])
