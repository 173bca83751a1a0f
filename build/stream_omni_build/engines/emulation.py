"""An engine's graph for a CPU, with the rounding of its precision: what is known of a precision without a GPU.

Each value passes through the type that the engine gives it, so what overflows there is infinite here as well; the
operators themselves compute in fp32, as a GPU's matrix products sum up. ONNX Runtime has no bf16 kernels for a CPU, and
of fp16 it drops the rounding between two operators.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from stream_omni_build.engines.recording import Values

_LOW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def emulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` whose operators all compute in fp32; inputs and outputs are fp32 as well."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    inferred = onnx.shape_inference.infer_shapes(copy).graph
    known = (*inferred.input, *inferred.value_info, *inferred.output)
    low = {value.name: value.type.tensor_type.elem_type for value in known}
    low |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    low = {name: element for name, element in low.items() if element in _LOW}
    nodes: list[onnx.NodeProto] = []
    wide: dict[str, str] = {}  # a low value: its name in fp32
    for value in graph.input:
        if value.name in low:
            nodes += _rounded(value.name, f"{value.name}.fp32", low[value.name])
            wide[value.name] = f"{value.name}.fp32"
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in graph.initializer:
        if tensor.name in low:
            nodes.append(helper.make_node("Cast", [tensor.name], [f"{tensor.name}.fp32"], to=TensorProto.FLOAT))
            wide[tensor.name] = f"{tensor.name}.fp32"
    for node in graph.node:
        nodes += _in_fp32(node, low, wide)
    for output in graph.output:
        if output.name in low:
            nodes.append(helper.make_node("Identity", [wide[output.name]], [output.name]))
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    return copy


def _in_fp32(node: onnx.NodeProto, low: dict[str, int], wide: dict[str, str]) -> list[onnx.NodeProto]:
    """The node on the fp32 forms of what it takes, and its results rounded to their types."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    after = []
    for i, name in enumerate(made.input):
        made.input[i] = wide.get(name, name)
    for i, name in enumerate(made.output):
        if name in low:
            made.output[i] = f"{name}.exact"
            after += _rounded(f"{name}.exact", f"{name}.fp32", low[name])
            wide[name] = f"{name}.fp32"
    if made.op_type == "Cast" and node.output[0] in low:
        made.attribute[0].i = TensorProto.FLOAT
    return [made, *after]


def _rounded(name: str, result: str, element: int) -> list[onnx.NodeProto]:
    narrow = f"{result}.narrow"
    return [
        helper.make_node("Cast", [name], [narrow], to=element),
        helper.make_node("Cast", [narrow], [result], to=TensorProto.FLOAT),
    ]


class EmulatedRunner:
    """See :class:`~stream_omni_build.engines.verify.Runner`. Nothing is optimised: two casts that undo one another are
    what this is about."""

    def __init__(self, graph: Path) -> None:
        model = emulated(onnx.load(graph, load_external_data=False))
        path = graph.with_suffix(".emulated.onnx")
        onnx.save(model, path)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        finally:
            path.unlink()
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, inputs: Values) -> Values:
        found = self._session.run(None, {name: inputs[name] for name in self._inputs})
        return dict(zip(self._outputs, found, strict=True))
