"""A graph's weights in its own precision: read from the checkpoint, narrowed and written one block at a time.

The checkpoint is the source of every precision, never a wider file of ours, so that a build needs the disk of what it
makes, and memory for one tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto

from stream_omni.weights import TensorSource, Weight
from stream_omni_build.weight_files import ALIGNMENT_BYTES, BLOCK_BYTES

Array = Any  # of NumPy, in types that its annotations do not know


@dataclass(frozen=True)
class Form:
    """How a tensor is stored. ``limit``: the largest magnitude; of codes, what a column's largest weight becomes."""

    element: int
    dtype: Any
    limit: float


FORMS = {
    "fp32": Form(TensorProto.FLOAT, np.dtype("<f4"), float(np.finfo(np.float32).max)),
    "fp16": Form(TensorProto.FLOAT16, np.dtype("<f2"), 65504.0),
    "bf16": Form(TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16), (2 - 2.0**-7) * 2.0**127),
    "int8": Form(TensorProto.INT8, np.dtype("i1"), 127.0),
    "fp8": Form(TensorProto.FLOAT8E4M3FN, np.dtype(ml_dtypes.float8_e4m3fn), 448.0),
}
CODES = ("int8", "fp8")


class RangeError(ValueError):
    """A weight is too large for the precision that it shall be kept in."""


@dataclass(frozen=True)
class Stored:
    """An initializer: ``form`` is a key of :data:`FORMS`.

    Of a matrix [inputs, outputs] kept in codes there are two: the codes, and what one step of each column's codes is
    worth, [outputs], for which ``scale_of`` names the codes' form. Codes are counted in steps that are already rounded
    to ``scale_form``, so that this rounding costs nothing.
    """

    name: str
    weight: Weight
    shape: tuple[int, ...]
    form: str
    scale_of: str = ""
    scale_form: str = ""

    @property
    def length(self) -> int:
        return int(FORMS[self.form].dtype.itemsize) * math.prod(self.shape)

    @property
    def element(self) -> int:
        return FORMS[self.form].element


def attach(model: onnx.ModelProto, stored: Iterable[Stored], location: str) -> int:
    """Make the model's inputs of these names initializers in the file ``location``; the file's size."""
    inputs = {value.name: value for value in model.graph.input}
    offset = end = 0
    for tensor in stored:
        if tensor.name in inputs:
            model.graph.input.remove(inputs[tensor.name])
        offset = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        end = offset + tensor.length
        proto = TensorProto(
            name=tensor.name, data_type=tensor.element, dims=tensor.shape, data_location=TensorProto.EXTERNAL
        )
        for key, value in (("location", location), ("offset", offset), ("length", tensor.length)):
            proto.external_data.add(key=key, value=str(value))
        model.graph.initializer.append(proto)
    return end


def write(path: Path, stored: Iterable[Stored], source: TensorSource, report: Callable[[int], None]) -> None:
    """The file that :func:`attach` told the model of, in the same order. Codes and their scales come one after the
    other, so that each weight is read once. Raises RangeError; ``report`` hears of written bytes."""
    with path.open("wb") as file:
        end = 0
        for weight, forms in groupby(stored, key=lambda tensor: tensor.weight):
            values = weight.read(source)
            for tensor in forms:
                end = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
                file.seek(end)
                for block in _blocks(tensor, values):
                    file.write(block.tobytes())
                    report(block.nbytes)
                end += tensor.length


def _blocks(tensor: Stored, values: Array) -> Iterator[Array]:
    """The values as they are stored, in pieces. Raises RangeError."""
    if tensor.scale_of:
        yield scales(values, tensor.scale_of, tensor.scale_form)
        return
    if values.shape != tensor.shape:
        raise ValueError(f"{tensor.weight.sources} gave {values.shape}, not {tensor.shape}")
    rows = values.reshape(1, -1) if values.ndim < 2 else values
    step = max(1, BLOCK_BYTES // (rows.itemsize * math.prod(rows.shape[1:])))
    own = scales(values, tensor.form, tensor.scale_form).astype(np.float32) if tensor.form in CODES else None
    if own is not None and not np.isfinite(own).all():
        raise RangeError(f"{' and '.join(tensor.weight.sources)} hold numbers that are not finite")
    for begin in range(0, len(rows), step):
        block = np.ascontiguousarray(rows[begin : begin + step])
        yield _narrow(block, tensor) if own is None else codes_of(block, own, tensor.form)


def scales(matrix: Array, codes: str, form: str) -> Array:
    """What a step of each column's codes is worth, for a matrix [inputs, outputs]: [outputs] in ``form``."""
    largest = np.maximum(matrix.max(0), -matrix.min(0))
    steps = np.ascontiguousarray(largest / np.float32(FORMS[codes].limit)).astype(FORMS[form].dtype)
    steps[steps == 0] = 1  # of a column of zeros: any will do
    return steps


def codes_of(block: Array, scale: Array, form: str) -> Array:
    """Rows of a matrix [inputs, outputs] in the steps ``scale`` [outputs] of each column."""
    limit = FORMS[form].limit
    steps = np.clip(block / scale, -limit, limit)  # a step that was rounded down counts a little beyond
    return np.rint(steps).astype(np.int8) if form == "int8" else steps.astype(FORMS[form].dtype)


def _narrow(block: Array, tensor: Stored) -> Array:
    form = FORMS[tensor.form]
    if block.dtype == form.dtype:
        return block
    largest = float(np.abs(block).max(initial=0.0))
    if not largest <= form.limit:  # as well for NaN
        raise RangeError(
            f"{' and '.join(tensor.weight.sources)} reach {largest:.3g}; {tensor.form} holds at most {form.limit:g}"
        )
    return block.astype(form.dtype)
