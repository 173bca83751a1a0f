"""The ONNX Runtime session, on hand-made graphs: caches change in place, and only where they are addressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stream_omni.runtime.onnx_runtime import OnnxRuntime, OnnxSession


@pytest.fixture(scope="module")
def cached_sum(tmp_path_factory: pytest.TempPathFactory) -> OnnxSession:
    """``keys_0`` and ``values_0`` [B, S] get ``update`` [K] at ``index`` [K, 2]; ``total`` [B] sums them after."""
    nodes = [
        helper.make_node("ScatterND", ["keys_0", "index", "update"], ["updated_keys_0"]),
        helper.make_node("ScatterND", ["values_0", "index", "update"], ["updated_values_0"]),
        helper.make_node("Add", ["updated_keys_0", "updated_values_0"], ["sum"]),
        helper.make_node("ReduceSum", ["sum", "axes"], ["total"], keepdims=0),
    ]
    cache = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", "S"]) for n in ("keys_0", "values_0")]
    updated = [helper.make_tensor_value_info(f"updated_{c.name}", TensorProto.FLOAT, ["B", "S"]) for c in cache]
    index = helper.make_tensor_value_info("index", TensorProto.INT64, ["K", 2])
    update = helper.make_tensor_value_info("update", TensorProto.FLOAT, ["K"])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, ["B"])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "cached_sum", [index, update, *cache], [total, *updated], [axes])
    path = tmp_path_factory.mktemp("graphs") / "cached_sum.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return OnnxSession(path, ["keys_0", "values_0"])


def test_caches_are_updated_in_the_callers_memory_and_only_where_addressed(cached_sum: OnnxSession) -> None:
    pool = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    before, caches = pool.copy(), [pool[0, :3], pool[1, :3]]  # the first three slots of two pools of five
    index, update = np.array([[2, 1], [0, 5]]), np.array([7, -8], np.float32)
    first = cached_sum.run({"index": index, "update": update}, caches)["total"]
    expected = before.copy()
    expected[:, 2, 1], expected[:, 0, 5] = 7, -8
    np.testing.assert_array_equal(pool, expected)
    np.testing.assert_allclose(first, expected[:, :3].sum((0, 2)), rtol=1e-5)

    kept = first.copy()
    second = cached_sum.run({"index": index[:1], "update": update[:1] * 2}, caches)["total"]
    np.testing.assert_array_equal(first, kept)  # a run leaves earlier results alone
    assert second[2] != first[2] and pool[0, 2, 1] == 14


def test_a_strided_input_is_read_as_its_values(cached_sum: OnnxSession) -> None:
    pool = np.zeros((2, 2, 4), np.float32)
    index = np.array([[0, 1, 9], [1, 2, 9]])[:, :2]
    update = np.array([1, 0, 2, 0], np.float32)[::2]
    cached_sum.run({"index": index, "update": update}, list(pool))
    assert pool[0].tolist() == [[0, 1, 0, 0], [0, 0, 2, 0]]


def test_what_would_not_be_updated_in_place_is_refused(cached_sum: OnnxSession) -> None:
    inputs = {"index": np.array([[0, 0]]), "update": np.ones(1, np.float32)}
    good = np.zeros((2, 4), np.float32)
    for bad in (np.zeros((2, 8), np.float32)[:, ::2], np.zeros((2, 4))):
        with pytest.raises(ValueError, match="keys_0 must be float32 and C-contiguous"):
            cached_sum.run(inputs, [bad, good])
    with pytest.raises(ValueError, match="takes 2 caches, not 1"):
        cached_sum.run(inputs, [good])
    with pytest.raises(ValueError, match=r"takes \['index', 'update'\], not \['index'\]"):
        cached_sum.run({"index": inputs["index"]}, [good, good])


def test_a_missing_build_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.json does not exist; build it with: stream-omni build "):
        OnnxRuntime(tmp_path)
