"""What this machine can do at best with one thread: read memory, and multiply matrices."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

_LARGE = (4_096, 32_768)  # 512 MB of float32: far beyond any cache
_SQUARE = 1_536
_TRIES = 7

Matrix = NDArray[np.float32]


def read_rates_gb_s() -> dict[str, float]:
    """Best rates of reading 512 MB once: summing it, and multiplying it with one row, as a decode step does."""
    matrix, row = np.ones(_LARGE, np.float32), np.ones((1, _LARGE[0]), np.float32)
    product = _product(matrix)
    works: dict[str, Callable[[], object]] = {
        "sum": lambda: matrix.sum(),
        "numpy product": lambda: row @ matrix,
        "onnxruntime product": lambda: product(row),
    }
    return {name: matrix.nbytes / 1e9 / _best_s(work) for name, work in works.items()}


def multiply_rates_gflop_s() -> dict[str, float]:
    """Best rates of square float32 products."""
    square = np.random.default_rng(0).normal(size=(_SQUARE, _SQUARE)).astype(np.float32)
    product = _product(square)
    gflop = 2 * _SQUARE**3 / 1e9
    return {
        "numpy": gflop / _best_s(lambda: square @ square),
        "onnxruntime": gflop / _best_s(lambda: product(square)),
    }


def _product(weights: Matrix) -> Callable[[Matrix], object]:
    """``x -> x @ weights`` as ONNX Runtime computes it with one thread."""
    rows, columns = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", columns])],
        [helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})


def _best_s(work: Callable[[], object]) -> float:
    """The best of several: what the hardware can do is seen when nothing disturbs it."""
    times = []
    for _ in range(_TRIES):
        began_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_s)
    return min(times)
