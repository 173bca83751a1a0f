"""What runs in fewer bits and what stays in fp32; and what that does to the numbers."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from stream_omni_build.engines.engine_graph import engine_model
from stream_omni_build.engines.precision import ALWAYS_FP32, ELEMENTS, EXCEPTIONS, PRODUCTS, lower

from stream_omni.graphs import graphs
from tests.build.engines.tiny import Tiny

GRAPHS = [
    "vision_encoder",
    "speech_bottom",
    "speech_bottom_step",
    "speech_top",
    "llm",
    "flow_encoder",
    "flow_estimator",
    "f0_predictor",
    "vocoder",
]


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Of every value, by inference from the inputs' types: it fails where an operator's inputs disagree."""
    newer = onnx.ModelProto()
    newer.CopyFrom(model)
    newer.opset_import[0].version = 22  # from which on ONNX itself allows a Conv in bf16, as TensorRT always did
    inferred = onnx.shape_inference.infer_shapes(newer, check_type=True, strict_mode=True).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", GRAPHS)
def test_products_are_low_and_sums_are_not(name: str, precision: str, tiny: Tiny) -> None:
    graph = graphs(tiny.info)[name]
    model, weights, stored = engine_model(graph, tiny.info, precision)
    types, low = types_of(model), ELEMENTS[precision]
    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    assert sum(types[node.output[0]] == low for node in products) > 0.5 * len(products)
    for node in model.graph.node:
        if node.op_type in ALWAYS_FP32:
            assert types[node.output[0]] in (TensorProto.FLOAT, TensorProto.INT64), node.name
    matrices = [tensor for tensor in stored if len(tensor.shape) > 1]
    assert sum(tensor.form == precision for tensor in matrices) > 0.8 * len(matrices)
    assert {tensor.name for tensor in stored} <= weights.keys()


@pytest.mark.parametrize("name", GRAPHS)
def test_interfaces_stay_but_for_the_caches(name: str, tiny: Tiny) -> None:
    graph = graphs(tiny.info)[name]
    model, _, _ = engine_model(graph, tiny.info, "bf16")
    values = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    for tensor in (*graph.inputs, *graph.outputs):
        assert values[tensor.name] == helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    assert {values[cache] for cache in (*graph.cache_names(), *graph.new_cache_names())} <= {TensorProto.BFLOAT16}


def test_fp32_changes_nothing(tiny: Tiny) -> None:
    model, _, stored = engine_model(graphs(tiny.info)["llm"], tiny.info, "fp32")
    assert {tensor.form for tensor in stored} == {"fp32"}
    assert not any(node.op_type == "Cast" and node.name.startswith("to_") for node in model.graph.node)


def test_positions_are_counted_in_fp32(tiny: Tiny) -> None:
    """bf16 counts only to 256: position 257 would be position 256."""
    model, _, _ = engine_model(graphs(tiny.info)["llm"], tiny.info, "bf16")
    types = types_of(model)
    angles = [node for node in model.graph.node if node.op_type in ("Cos", "Sin")]
    assert angles
    assert {types[node.input[0]] for node in angles} == {TensorProto.FLOAT}


def test_scores_and_their_mask_meet_in_fp32(tiny: Tiny) -> None:
    """-1e30 is beyond fp16: it would be -inf, and 0 times it NaN."""
    model, _, _ = engine_model(graphs(tiny.info)["llm"], tiny.info, "fp16")
    types, makers = types_of(model), {name: node for node in model.graph.node for name in node.output}
    softmaxes = [node for node in model.graph.node if node.op_type == "Softmax"]
    assert softmaxes
    for node in softmaxes:
        added = makers[node.input[0]]
        assert added.op_type == "Add"
        assert {types[name] for name in added.input} == {TensorProto.FLOAT}


def test_a_table_is_not_kept_twice_as_large(tiny: Tiny) -> None:
    _, _, stored = engine_model(graphs(tiny.info)["llm"], tiny.info, "bf16")
    assert {tensor.name: tensor.form for tensor in stored}["table"] == "bf16"


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_every_exception_is_met_and_kept(name: str, tiny: Tiny) -> None:
    """A pattern that no node has would be a guard in name alone."""
    model, _, _ = engine_model(graphs(tiny.info)[name], tiny.info, "fp16")
    types, exceptions = types_of(model), EXCEPTIONS[name]
    for operator in exceptions.operators:
        held = [node for node in model.graph.node if node.op_type == operator]
        assert held or operator == "Erf", operator
    for pattern in exceptions.nodes:
        held = [node for node in model.graph.node if re.search(pattern, node.name)]
        assert any(node.op_type in PRODUCTS for node in held), pattern
        assert {types[node.output[0]] for node in held if node.op_type in PRODUCTS} == {TensorProto.FLOAT}


def small_model() -> onnx.ModelProto:
    """y = x @ w, and an output that is also read within."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product"), helper.make_node("Relu", ["y"], ["z"])]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in "xwyz"}
    graph = helper.make_graph(nodes, "small", [values["x"], values["w"]], [values["y"], values["z"]])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_an_output_that_is_read_within_keeps_its_name_and_type() -> None:
    model = small_model()
    assert lower(model, "fp16", ["w"], []) == {"w": "fp16"}
    types = types_of(model)
    assert (types["y"], types["z"]) == (TensorProto.FLOAT, TensorProto.FLOAT)
    onnx.checker.check_model(model)


def test_a_value_of_unknown_type_is_refused() -> None:
    model = small_model()
    model.graph.node[1].domain = "of.nobody"
    with pytest.raises(ValueError, match="the types of its values cannot be told"):
        lower(model, "fp16", ["w"], [])
