"""Weights of 8 bits: standard ONNX DequantizeLinear before each large product, with a scale for each output.

Weights alone: activations and products stay in the low precision of the graph, so nothing has to be calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper

from stream_omni.weights import Weight
from stream_omni_build.engines.stored_weights import Stored

OPSET = 21  # DequantizeLinear in bf16 and of fp8; ours uses nothing that changed in meaning since 18
FEWEST_WEIGHTS = 1 << 16  # of a matrix that is worth it


def quantize(
    model: onnx.ModelProto,
    codes: str,
    weights: Mapping[str, Weight],
    precisions: Mapping[str, str],
    fewest: int = FEWEST_WEIGHTS,
) -> list[Stored]:
    """Rewrite ``model``, whose parameters are inputs in their ``precisions``, so that the matrices which only products
    read are kept as ``codes`` ("int8" or "fp8"). All parameters as they are to be stored, codes beside their scales."""
    inputs = {value.name: value for value in model.graph.input}
    chosen = _matrices(model.graph, inputs.keys() & precisions.keys(), fewest)
    stored: list[Stored] = []
    nodes = []
    for name, precision in precisions.items():
        shape = tuple(axis.dim_value for axis in inputs[name].type.tensor_type.shape.dim)
        if name not in chosen:
            stored.append(Stored(name, weights[name], shape, precision))
            continue
        stored += [
            Stored(f"{name}.codes", weights[name], shape, codes, scale_form=precision),
            Stored(f"{name}.scale", weights[name], shape[1:], precision, scale_of=codes, scale_form=precision),
        ]
        model.graph.input.remove(inputs[name])
        pieces = [f"{name}.codes", f"{name}.scale"]
        nodes.append(helper.make_node("DequantizeLinear", pieces, [name], name=f"dequantize/{name}", axis=1))
    if chosen:
        rest = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend([*nodes, *rest])
        for opset in model.opset_import:
            if opset.domain in ("", "ai.onnx"):
                opset.version = max(opset.version, OPSET)
    return stored


def _matrices(graph: onnx.GraphProto, parameters: set[str], fewest: int) -> set[str]:
    """Parameters [inputs, outputs] that are the second factor of products and nothing else."""
    sizes = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in graph.input}
    found = {name for name in parameters if len(sizes[name]) == 2 and sizes[name][0] * sizes[name][1] >= fewest}
    for node in graph.node:
        found -= {name for i, name in enumerate(node.input) if not (node.op_type == "MatMul" and i == 1)}
    return found
