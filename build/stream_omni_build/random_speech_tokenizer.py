"""speech_tokenizer_v1.onnx of the real interface, but small and random: log-mel frames to units at 25 Hz."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stream_omni_build.random_tensors import RandomTensor, draw

MEL_BINS = 128
_CHANNELS = 64
_OPSET, _IR_VERSION = 18, 10
SECTION = "speech_tokenizer_v1.onnx"


def speech_tokenizer_tensors(units: int) -> list[RandomTensor]:
    first, second = MEL_BINS * 3, _CHANNELS * 3
    return [
        RandomTensor("conv1.weight", (_CHANNELS, MEL_BINS, 3), 2 / math.sqrt(first)),
        RandomTensor("conv1.bias", (_CHANNELS,), 0.1),
        RandomTensor("conv2.weight", (_CHANNELS, _CHANNELS, 3), 2 / math.sqrt(second)),
        RandomTensor("conv2.bias", (_CHANNELS,), 0.1),
        RandomTensor("codebook", (units, _CHANNELS, 1), 1 / math.sqrt(_CHANNELS)),
    ]


def write_speech_tokenizer(path: Path, units: int, seed: int) -> None:
    """Inputs ``feats`` float32 [1, 128, T] and ``feats_length`` int32 [1]; output ``indices`` int64
    [1, ceil(ceil(T / 2) / 2)], each below ``units``. Frames from ``feats_length`` on count as zero.
    """
    weights = {t.name: draw(t, SECTION, seed) for t in speech_tokenizer_tensors(units)}
    for name in ("conv1.weight", "conv2.weight"):
        weights[name] = _without_mean(weights[name])
    nodes = [
        helper.make_node("Shape", ["feats"], ["frames_1d"], start=2, end=3),
        helper.make_node("Squeeze", ["frames_1d"], ["frames"]),
        helper.make_node("Range", ["zero", "frames", "one"], ["frame"]),
        helper.make_node("Cast", ["feats_length"], ["length"], to=TensorProto.INT64),
        helper.make_node("Less", ["frame", "length"], ["inside"]),
        helper.make_node("Where", ["inside", "feats", "silence"], ["known"]),
        _halve("known", "conv1"),
        helper.make_node("Relu", ["conv1"], ["half_rate"]),
        _halve("half_rate", "conv2"),
        helper.make_node("Tanh", ["conv2"], ["quarter_rate"]),
        helper.make_node("Conv", ["quarter_rate", "codebook"], ["similarity"], kernel_shape=[1]),
        helper.make_node("ArgMax", ["similarity"], ["indices"], axis=1, keepdims=0),
    ]
    constants = {"zero": np.int64(0), "one": np.int64(1), "silence": np.float32(0)}
    graph = helper.make_graph(
        nodes,
        "speech_tokenizer",
        [
            helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, MEL_BINS, "T"]),
            helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1]),
        ],
        [helper.make_tensor_value_info("indices", TensorProto.INT64, [1, "N"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights | constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _halve(source: str, name: str) -> onnx.NodeProto:
    """A convolution that leaves ceil(T / 2) frames."""
    inputs = [source, f"{name}.weight", f"{name}.bias"]
    return helper.make_node("Conv", inputs, [name], kernel_shape=[3], strides=[2], pads=[1, 1])


def _without_mean(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Kernels that see only contrasts: what all bins share (loudness) would make every frame the same unit."""
    return np.asarray(kernel - kernel.mean(axis=(1, 2), keepdims=True), np.float32)
