"""An fp32 graph in fewer bits. TensorRT's networks are strongly typed: the precision of every operation is written in
the graph, as the type of its inputs, and this is where it is written.

Matrix products and convolutions run in the low precision. What loses sums or overflows in it stays in fp32: norms,
softmax and what is added to its scores, activations built on exp, sines; and everything that follows from positions
alone, since bf16 counts only to 256. All else follows its inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx
from onnx import NodeProto, TensorProto, helper

ELEMENTS = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}

PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"})
# every graph's list of what is computed in fp32
ALWAYS_FP32 = frozenset(
    {"Softmax", "LogSoftmax", "LayerNormalization", "InstanceNormalization", "GroupNormalization"}  # sums of many
    | {"ReduceMean", "ReduceSum", "ReduceL2", "Pow", "Sqrt", "Div", "Reciprocal"}  # norms that are written out
    | {"Exp", "Log", "Softplus", "Sin", "Cos"}  # beyond 11 exp overflows fp16, and phases wrap at any size
    | {"TopK", "ArgMax"}  # of logits
)


@dataclass(frozen=True)
class Exceptions:
    """A stage's own list: what else stays in fp32. ``nodes`` are patterns of node names: the exporter's name of a node
    is the path of its module and the operator."""

    operators: frozenset[str] = frozenset()
    nodes: tuple[str, ...] = ()

    def hold(self, node: NodeProto) -> bool:
        return node.op_type in self.operators or any(re.search(pattern, node.name) for pattern in self.nodes)


NONE = Exceptions()
# fp16 of the flow has given NaN in TensorRT: its products of queries and keys, and its last convolution, whose output
# the ODE adds up ten times, are kept out of it.
FLOW = Exceptions(frozenset({"Erf", "Tanh"}), (r"/unet/project/", r"/blocks\.\d+/MatMul$"))
EXCEPTIONS: dict[str, Exceptions] = {
    "flow_estimator": FLOW,
    "flow_encoder": Exceptions(frozenset({"Erf", "Tanh"})),
    # Snake divides by alpha + 1e-9, and the last convolution's output goes through exp
    "vocoder": Exceptions(nodes=(r"/leave/",)),
    # its output is a frequency in Hz that phases are summed up from
    "f0_predictor": Exceptions(nodes=(r"/classify/",)),
}


def lower(model: onnx.ModelProto, precision: str, parameters: Iterable[str], caches: Iterable[str]) -> dict[str, str]:
    """Rewrite ``model``, an fp32 graph whose ``parameters`` are graph inputs, to ``precision``, in place.

    Inputs and outputs keep their types, except for ``caches`` (inputs or outputs), which are kept in the low precision.
    Returns each used parameter's precision; the model's inputs have the types that go with it.
    """
    work = _Lowering(model, precision, frozenset(parameters), frozenset(caches))
    if precision != "fp32":
        work.rewrite(EXCEPTIONS.get(model.graph.name, NONE))
    return work.parameter_precisions()


class _Lowering:
    def __init__(
        self, model: onnx.ModelProto, precision: str, parameters: frozenset[str], caches: frozenset[str]
    ) -> None:
        self._graph, self._low, self._caches = model.graph, precision, caches
        self._inputs = {value.name: value for value in model.graph.input}
        self._parameters = parameters & self._inputs.keys()
        self._floats = _float_values(model)  # of the fp32 graph
        self._made: dict[str, str] = {}  # value: its precision now
        self._constants: set[str] = set()  # that follow from no input but integers: positions, masks, sizes
        self._casts: dict[tuple[str, str], str] = {}
        self._nodes: list[NodeProto] = []
        self._parameter: dict[str, str] = {}

    def parameter_precisions(self) -> dict[str, str]:
        return {name: self._parameter.get(name, "fp32") for name in sorted(self._parameters)}

    def rewrite(self, exceptions: Exceptions) -> None:
        for name in self._inputs.keys() & self._floats - self._parameters:
            self._made[name] = self._low if name in self._caches else "fp32"
        self._plan_parameters(exceptions)
        before_softmax = _read_by_softmax_alone(self._graph)
        for node in self._graph.node:
            self._place(node, exceptions, before_softmax)
        self._finish_outputs()
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.value_info[:]  # of the types before
        for name in self._inputs.keys() & self._made.keys():
            self._inputs[name].type.tensor_type.elem_type = ELEMENTS[self._made[name]]

    def _plan_parameters(self, exceptions: Exceptions) -> None:
        """A parameter is kept in the low precision if a product or a table wants it so."""
        for node in self._graph.node:
            own = [name for name in node.input if name in self._parameters]
            table = node.op_type == "Gather" and node.input[0] in self._parameters
            if own and (table or node.op_type in PRODUCTS) and not exceptions.hold(node):
                self._parameter |= dict.fromkeys(own, self._low)
        for name in self._parameters & self._floats:
            self._made[name] = self._parameter.setdefault(name, "fp32")

    def _place(self, node: NodeProto, exceptions: Exceptions, before_softmax: set[str]) -> None:
        taken = [name for name in node.input if name in self._floats]
        given = [name for name in node.output if name in self._floats]
        if all(name in self._constants for name in taken):  # of constants and integers, if of anything
            self._constants |= set(given)
            self._made |= dict.fromkeys(given, "fp32")
        elif node.op_type == "Cast":
            self._made |= dict.fromkeys(given, "fp32")  # which the node itself says
        else:
            precision = self._precision_of(node, taken, exceptions, before_softmax)
            for i, name in enumerate(node.input):
                if name in self._floats:
                    node.input[i] = self._as(name, precision)
            self._made |= dict.fromkeys(given, precision)
        self._nodes.append(node)

    def _precision_of(self, node: NodeProto, taken: list[str], exceptions: Exceptions, before_softmax: set[str]) -> str:
        if exceptions.hold(node) or node.op_type in ALWAYS_FP32:
            return "fp32"
        if node.op_type in PRODUCTS:
            return self._low
        if before_softmax.issuperset(node.output):
            return "fp32"
        deciding = [name for name in taken if name not in self._constants and name not in self._parameters]
        if not deciding:  # rows of a table, or arithmetic among parameters, which is small
            return self._made[taken[0]] if node.op_type == "Gather" else "fp32"
        return "fp32" if all(self._made[name] == "fp32" for name in deciding) else self._low

    def _as(self, name: str, precision: str) -> str:
        """The value in a precision: itself, or a cast that all who want it share."""
        if self._made.get(name, "fp32") == precision:
            return name
        if (name, precision) not in self._casts:
            cast = f"{name}_{precision}"
            self._casts[name, precision] = cast
            self._nodes.append(
                helper.make_node("Cast", [name], [cast], name=f"to_{precision}/{name}", to=ELEMENTS[precision])
            )
        return self._casts[name, precision]

    def _finish_outputs(self) -> None:
        """Every output under its own name in the type that it is promised in."""
        for output in self._graph.output:
            if output.name not in self._floats:
                continue
            promised, made = self._low if output.name in self._caches else "fp32", self._made[output.name]
            if made != promised:
                _rename(self._nodes, output.name, inner := f"{output.name}_{made}_made")
                self._nodes.append(
                    helper.make_node("Cast", [inner], [output.name], name=f"out/{output.name}", to=ELEMENTS[promised])
                )
            output.type.tensor_type.elem_type = ELEMENTS[promised]


def _rename(nodes: list[NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def _float_values(model: onnx.ModelProto) -> set[str]:
    """Names of all fp32 values. Raises ValueError where a type cannot be told: then nothing may be decided."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph
    except onnx.shape_inference.InferenceError as error:
        raise ValueError(f"graph {model.graph.name}: the types of its values cannot be told ({error})") from error
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.input, *inferred.value_info, *inferred.output)}
    unknown = [name for node in model.graph.node for name in node.output if name and not types.get(name)]
    if unknown:
        raise ValueError(f"graph {model.graph.name}: the types of {', '.join(unknown[:5])} cannot be told")
    return {name for name, element in types.items() if element == TensorProto.FLOAT}


def _read_by_softmax_alone(graph: onnx.GraphProto) -> set[str]:
    """Values that only a Softmax reads, such as scores with their mask, whose -1e30 is beyond fp16."""
    readers: dict[str, list[str]] = {}
    for node, name in _reads(graph):
        readers.setdefault(name, []).append(node.op_type)
    return {name for name, operators in readers.items() if set(operators) == {"Softmax"}}


def _reads(graph: onnx.GraphProto) -> Iterator[tuple[NodeProto, str]]:
    for node in graph.node:
        for name in node.input:
            yield node, name
