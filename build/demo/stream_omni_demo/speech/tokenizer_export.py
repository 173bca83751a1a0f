"""The speech tokenizer as the ONNX file of the real checkpoint's interface.

Its matrices are stored as 8-bit integers with a scale for each output, in a quarter of the space; ONNX Runtime makes
floats of them when it loads the file.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from stream_omni_build.trace import OPSET
from torch.jit._trace import TracerWarning

from stream_omni.audio import MEL_BINS
from stream_omni.runtime.onnx_runtime import OnnxSession
from stream_omni_demo.speech.tokenizer_network import SpeechTokenizer

_TRACED_FRAMES = 37
_LARGE = 4096  # numbers


def write_tokenizer(network: SpeechTokenizer, path: Path) -> None:
    """Inputs ``feats`` float32 [1, 128, T] and ``feats_length`` int32 [1]; output ``indices`` int64
    [1, ceil(ceil(T / 2) / 2)]. The same weights give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    example = (torch.zeros(1, MEL_BINS, _TRACED_FRAMES), torch.tensor([_TRACED_FRAMES], dtype=torch.int32))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # of this exporter, which the other graphs use too
        warnings.filterwarnings("ignore", category=TracerWarning)  # constants
        torch.onnx.export(
            network.eval(),
            example,
            str(partial),
            dynamo=False,
            opset_version=OPSET,
            input_names=["feats", "feats_length"],
            output_names=["indices"],
            dynamic_axes={"feats": {2: "T"}, "indices": {1: "N"}},
        )
    model = onnx.load(partial)
    model.graph.name = "speech_tokenizer"
    _store_in_eight_bits(model.graph)
    onnx.checker.check_model(model, full_check=True)
    partial.write_bytes(model.SerializeToString(deterministic=True))
    partial.replace(path)


def round_matrices(network: SpeechTokenizer) -> None:
    """Make the large parameters what the file will have of them, so that the network and the file are the same."""
    for parameter in network.parameters():
        if parameter.ndim > 1 and parameter.numel() >= _LARGE:
            small, scale = _eight_bits(parameter.detach().numpy(), 0)
            parameter.data.copy_(torch.from_numpy(small.astype(np.float32) * scale))


def _eight_bits(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers, and what to multiply them with: one scale for all that share a place along ``axis``."""
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.maximum(np.abs(values).max(others, keepdims=True), np.finfo(np.float32).tiny)
    scale = (largest / 127).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), scale


def _store_in_eight_bits(graph: onnx.GraphProto) -> None:
    users = {name: (node, place) for node in graph.node for place, name in enumerate(node.input)}
    nodes = []
    for tensor in [each for each in graph.initializer if math.prod(each.dims) >= _LARGE]:
        node, place = users[tensor.name]
        if place != 1:  # no layer's weights, but the mel bins
            continue
        values = onnx.numpy_helper.to_array(tensor)
        axis = 0 if node.op_type == "Conv" else values.ndim - 1  # of the outputs
        small, scale = _eight_bits(values, axis)
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.append(onnx.numpy_helper.from_array(small, f"{name}.int8"))
        graph.initializer.append(onnx.numpy_helper.from_array(scale, f"{name}.scale"))
        # no DequantizeLinear: ONNX Runtime would round what it is multiplied with to 8 bits, too
        nodes += [
            onnx.helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name]),
        ]
    for node in reversed(nodes):
        graph.node.insert(0, node)


def agreement(network: SpeechTokenizer, path: Path, features: NDArray[np.float32]) -> float:
    """Share of the units of ``features`` [128, T] that the file and the network agree on. What lies between two means
    may fall to either side."""
    length = np.array([features.shape[1]], np.int32)
    served = OnnxSession(path).run({"feats": features[None], "feats_length": length})["indices"]
    with torch.no_grad():
        trained = network.eval()(torch.from_numpy(features[None]), torch.from_numpy(length)).numpy()
    assert served.shape == trained.shape, (served.shape, trained.shape)
    return float((served == trained).mean())
