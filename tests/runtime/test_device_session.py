"""What binds a device's memory for TensorRT, run for real on the CPU: by ONNX Runtime, over the same addresses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from stream_omni.graphs import Graph, Tensor
from stream_omni.model_info import LlamaSizes, Rope
from stream_omni.runtime.device_session import DeviceSession
from stream_omni.runtime.slots import KeyValueCaches
from stream_omni.runtime.torch_memory import TorchMemory, address
from tests.onnx_program import OnnxProgram

KV_HEADS, HEAD_SIZE = 2, 4
GRAPH = Graph(
    "doubled",
    (Tensor("x", "float32", ("B", "T", HEAD_SIZE)), Tensor("positions", "int64", ("B", "T"))),
    (Tensor("sums", "float32", ("B", "T")),),
    cache_layers=1,
)
MEMORY = TorchMemory("cpu")


def program(folder: Path, new: bool) -> OnnxProgram:
    """Of each x a key and value, 2 x and 3 x in both heads; ``sums`` adds the x of a position to what its row's cache
    held at its start. ``new``: only new keys and values come out; else whole caches, of which the first position is
    replaced by the first new key."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "T", HEAD_SIZE]),
        helper.make_tensor_value_info("positions", TensorProto.INT64, ["B", "T"]),
    ]
    shape = ["B", KV_HEADS, "S", HEAD_SIZE]
    caches = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in GRAPH.cache_names()]
    names = GRAPH.new_cache_names() if new else GRAPH.updated_cache_names()
    made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", KV_HEADS, None, HEAD_SIZE]) for n in names]
    constants = [
        helper.make_tensor("two", TensorProto.FLOAT, [], [2]),
        helper.make_tensor("three", TensorProto.FLOAT, [], [3]),
        helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("inner", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("heads", TensorProto.INT64, [1], [1]),
        helper.make_tensor("index", TensorProto.INT64, [1, 2, 3], [0, 0, 0, 0, 1, 0]),
    ]
    nodes = [
        helper.make_node("ReduceSum", ["keys_0", "inner"], ["held"], keepdims=0),
        helper.make_node("Unsqueeze", ["held", "last"], ["held_at_all"]),
        helper.make_node("ReduceSum", ["x", "last"], ["own"], keepdims=0),
        helper.make_node("Add", ["own", "held_at_all"], ["sums"]),
    ]
    for name, factor in (("keys_0", "two"), ("values_0", "three")):
        nodes.append(helper.make_node("Mul", ["x", factor], [f"{name}_flat"]))
        nodes.append(helper.make_node("Unsqueeze", [f"{name}_flat", "heads"], [f"{name}_one"]))
        both = f"new_{name}" if new else f"{name}_both"
        nodes.append(helper.make_node("Concat", [f"{name}_one"] * KV_HEADS, [both], axis=1))
        if not new:
            constants.append(helper.make_tensor(f"{name}_row", TensorProto.FLOAT, [1, 2, HEAD_SIZE], [7.0] * 8))
            nodes.append(helper.make_node("ScatterND", [name, "index", f"{name}_row"], [f"updated_{name}"]))
    sums = helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["B", "T"])
    graph = helper.make_graph(nodes, "doubled", [*inputs, *caches], [sums, *made], constants)
    path = folder / f"doubled-{new}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return OnnxProgram(path)


def caches_of(rows: int, memory: TorchMemory = MEMORY) -> KeyValueCaches:
    rope = Rope(10000.0)
    sizes = LlamaSizes(8, 8, KV_HEADS, KV_HEADS, HEAD_SIZE, 1, 1, 1, 1e-5, rope)
    return KeyValueCaches(GRAPH, sizes, rows, memory)


def test_new_keys_are_written_where_their_positions_say_and_nowhere_else(tmp_path: Path) -> None:
    session, caches = DeviceSession(program(tmp_path, new=True), GRAPH, MEMORY), caches_of(3)
    view = caches.view(1, 3, 2)  # two of three slots
    x = np.arange(16, dtype=np.float32).reshape(2, 2, 4)
    sums = session.run({"x": x, "positions": np.array([[0, 1], [5, 6]])}, view)["sums"]
    np.testing.assert_array_equal(sums, x.sum(-1))
    keys, values = (np.array(cache) for cache in caches.view(0, 3, 0))
    for head in range(KV_HEADS):
        np.testing.assert_array_equal(keys[1, head, :2], 2 * x[0])
        np.testing.assert_array_equal(values[2, head, 5:7], 3 * x[1])
    assert np.count_nonzero(keys) == 2 * (16 - 1)  # all of x but its zero, in two heads
    assert not keys[0].any() and not keys[1, :, 2:].any() and not keys[2, :, :5].any()
    again = session.run({"x": x[:, :1], "positions": np.array([[2], [7]])}, view)["sums"]
    np.testing.assert_array_equal(again[:, 0], x[:, 0].sum(-1) + 2 * KV_HEADS * x.sum((1, 2)))


def test_whole_caches_are_updated_in_their_own_memory(tmp_path: Path) -> None:
    session, caches = DeviceSession(program(tmp_path, new=False), GRAPH, MEMORY), caches_of(2)
    view = caches.view(0, 2, 1)
    address = view[0].data_ptr()
    session.run({"x": np.zeros((2, 1, 4), np.float32), "positions": np.zeros((2, 1), np.int64)}, view)
    assert view[0].data_ptr() == address and view[0][0, 0, 0].tolist() == [7.0] * 4 and not view[0][1].any()


def test_a_runtime_that_cannot_update_in_place_is_not_given_whole_caches(tmp_path: Path) -> None:
    made = program(tmp_path, new=False)
    made.in_place = False
    with pytest.raises(ValueError, match="gives whole caches, which this runtime cannot update in place"):
        DeviceSession(made, GRAPH, MEMORY)


def test_another_graph_than_the_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="new_keys_1, new_values_1, values_1 is missing or too much"):
        wider = Graph(GRAPH.name, GRAPH.inputs, GRAPH.outputs, cache_layers=2)
        DeviceSession(program(tmp_path, new=True), wider, MEMORY)


def test_what_does_not_fit_is_refused_before_anything_runs(tmp_path: Path) -> None:
    session, view = DeviceSession(program(tmp_path, new=True), GRAPH, MEMORY), caches_of(1).view(0, 1, 1)
    x, positions = np.zeros((1, 1, 4), np.float32), np.zeros((1, 1), np.int64)
    with pytest.raises(ValueError, match=r"takes \['positions', 'x'\], not \['x'\]"):
        session.run({"x": x}, view)
    with pytest.raises(ValueError, match="takes 2 caches, not 1"):
        session.run({"x": x, "positions": positions}, view[:1])
    with pytest.raises(ValueError, match=r"x is \[1, 1, 3\], not \['B', 'T', 4\]"):
        session.run({"x": x[..., :3], "positions": positions}, view)
    with pytest.raises(ValueError, match=r"positions is \[2, 1\]"):
        session.run({"x": x, "positions": np.zeros((2, 1), np.int64)}, view)
    with pytest.raises(ValueError, match=r"cache keys_0 must be torch.float32 and contiguous"):
        session.run({"x": x, "positions": positions}, [view[0].half(), view[1]])


def test_empty_tensors_have_an_address() -> None:
    empty, full = MEMORY.empty((0, 5), torch.float32), MEMORY.empty((1,), torch.float32)
    assert empty.data_ptr() == 0 and address(empty) and address(full) == full.data_ptr()


def test_slots_of_another_memory_keep_their_rows() -> None:
    """As slots in the host's memory do: one leaves, the last one moves into the gap, capacity grows and shrinks."""
    narrow = TorchMemory("cpu", torch.bfloat16)
    here, there = caches_of(3), caches_of(3, narrow)
    rows = np.random.default_rng(0).integers(-8, 8, (3, 2, KV_HEADS, 200, HEAD_SIZE)).astype(np.float32)
    for caches in (here, there):
        for row, length in enumerate((3, 5, 200)):
            caches.adopt(row, rows[row][:, :, :length])
        assert caches.capacity == 256
        caches.remove(0, 2)
        caches.remove(0, 1)
        assert caches.capacity == 128 and caches.lengths.tolist() == [5, 0, 0]
        np.testing.assert_array_equal(caches.stored(0, 5), rows[1][:, :, :5])
        assert not any(cache[1:].any() for cache in caches.view(0, 3, 0))
    assert there.view(0, 1, 0)[0].dtype == torch.bfloat16
