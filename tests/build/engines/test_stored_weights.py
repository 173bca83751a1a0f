"""Weights in fewer bits, as they are written: exact where they can be, refused where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from stream_omni_build.engines.engine_graph import engine_model, write_engine_graph
from stream_omni_build.engines.quantize import OPSET
from stream_omni_build.engines.stored_weights import RangeError, Stored, attach, write
from stream_omni_build.progress import silent

from stream_omni.graphs import graphs
from stream_omni.weights import Weight, weight
from tests.build.engines.tiny import Tiny


class Matrix:
    """A tensor source of one matrix, which counts how often it is read."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values, self.reads = values, 0

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"m": self.values.shape}

    def get(self, name: str) -> NDArray[np.float32]:
        self.reads += 1
        return self.values


def stored_back(values: NDArray[np.float32], tensors: list[Stored], folder: Path) -> tuple[list[NDArray], Matrix]:
    model = onnx.ModelProto()
    attach(model, tensors, "w")
    source = Matrix(values)
    write(folder / "w", tensors, source, lambda count: None)
    onnx.load_external_data_for_model(model, str(folder))
    return [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer], source


def of(values: NDArray[np.float32]) -> Weight:
    return weight("m", *values.shape)


@pytest.mark.parametrize(("form", "dtype"), [("fp32", np.float32), ("fp16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_values_are_rounded_to_nearest(form: str, dtype: type, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((70, 9)).astype(np.float32)
    (found,), _ = stored_back(values, [Stored("a", of(values), values.shape, form)], tmp_path)
    assert np.array_equal(found, values.astype(dtype))


@pytest.mark.parametrize(("codes", "error"), [("int8", 0.5 / 127), ("fp8", 1 / 16)])
@pytest.mark.parametrize("unit", ["bf16", "fp16", "fp32"])
def test_codes_times_their_scale_are_near(codes: str, error: float, unit: str, tmp_path: Path) -> None:
    """Off by half a step at the most (fp8: by half of its last bit), though the scale itself is rounded."""
    columns = np.array([1, 100, 1e-3, 0], np.float32)
    values = (np.random.default_rng(0).standard_normal((300, 4)) * columns).astype(np.float32)
    tensors = [
        Stored("a.codes", of(values), values.shape, codes, scale_form=unit),
        Stored("a.scale", of(values), values.shape[1:], unit, scale_of=codes, scale_form=unit),
    ]
    (found, scale), source = stored_back(values, tensors, tmp_path)
    restored = found.astype(np.float32) * scale.astype(np.float32)
    largest = np.abs(values).max(0)
    assert (np.abs(restored - values) <= error * 1.02 * np.maximum(largest, 1e-9)).all()
    assert source.reads == 1


def test_what_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    values = np.array([[1.0, 70_000.0]], np.float32)
    with pytest.raises(RangeError, match=r"m reach 7e\+04; fp16 holds at most 65504"):
        stored_back(values, [Stored("a", of(values), values.shape, "fp16")], tmp_path)
    (found,), _ = stored_back(values, [Stored("a", of(values), values.shape, "bf16")], tmp_path)
    assert np.isfinite(found.astype(np.float32)).all()


def test_a_weight_that_is_no_number_is_refused(tmp_path: Path) -> None:
    values = np.array([[1.0, np.nan]], np.float32)
    with pytest.raises(RangeError):
        stored_back(values, [Stored("a", of(values), values.shape, "bf16")], tmp_path)


@pytest.mark.parametrize("codes", ["int8", "fp8"])
def test_the_llms_matrices_are_codes_and_its_table_is_not(codes: str, tiny: Tiny) -> None:
    model, _, stored = engine_model(graphs(tiny.info)["llm"], tiny.info, codes)
    forms = {tensor.name: tensor.form for tensor in stored}
    assert forms["head.codes"] == codes
    assert forms["table"] == "bf16"
    assert [opset.version for opset in model.opset_import] == [OPSET]
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("DequantizeLinear") == sum(form == codes for form in forms.values())


def test_a_written_graph_is_valid_and_its_file_is_as_large_as_promised(tiny: Tiny, tmp_path: Path) -> None:
    path = write_engine_graph(graphs(tiny.info)["llm"], tiny.info, "int8", tiny.sources, tmp_path, silent())
    onnx.checker.check_model(str(path))
    ends = [
        int(entries["offset"]) + int(entries["length"])
        for tensor in onnx.load(path, load_external_data=False).graph.initializer
        for entries in [{entry.key: entry.value for entry in tensor.external_data}]
    ]
    assert (tmp_path / "llm.int8.weights").stat().st_size == max(ends)
    assert {file.name for file in tmp_path.iterdir()} == {"llm.int8.onnx", "llm.int8.weights"}
