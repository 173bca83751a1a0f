"""What a graph gives is held against what it is to give, in shape and type, for any sizes of the run."""

from __future__ import annotations

import numpy as np
import pytest

from stream_omni.graphs import Graph, Tensor
from stream_omni.runtime.outputs import GraphError, check_outputs
from stream_omni.runtime.session import Array

FRAMES = Tensor("mel", "float32", ("B", 4, "T"))
GRAPH = Graph("vocoder", (FRAMES, Tensor("rows", "int64", ("R",))), (Tensor("waveform", "float32", ("R", "3*T")),))


def check(waveform: Array) -> None:
    """Of a run with B = 2, T = 5, R = 1."""
    check_outputs(
        GRAPH, {"mel": np.zeros((2, 4, 5), np.float32), "rows": np.zeros(1, np.int64)}, {"waveform": waveform}
    )


def test_what_fits_passes() -> None:
    check(np.zeros((1, 15), np.float32))


@pytest.mark.parametrize("shape", [(1, 14), (2, 15), (15,), (1, 15, 1), (15, 1), (1, 0)])
def test_a_wrong_shape_is_told_with_what_is_due(shape: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match=r"vocoder gave waveform as float32 \[.*\] instead of float32 \[1, 15\]"):
        check(np.zeros(shape, np.float32))


def test_a_wrong_type_is_told_too() -> None:
    with pytest.raises(GraphError, match=r"float16 \[1, 15\] instead of float32"):
        check(np.zeros((1, 15), np.float16))
