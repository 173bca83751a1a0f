"""Weight files: a tensor once, in row-major order, at a page's begin."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from stream_omni_build.weight_files import ALIGNMENT_BYTES, BLOCK_BYTES, WeightFile

from stream_omni.weights import Weight, side_by_side, weight

TENSORS = {
    "wide": np.arange(6, dtype=np.float32).reshape(2, 3),
    "large": np.arange(BLOCK_BYTES // 4 + 40_000, dtype=np.float32).reshape(-1, 8),  # more than a block
}


class Source:
    def shapes(self):
        return {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}

    def get(self, name):
        return TENSORS[name]


def test_equal_weights_share_a_place_and_others_begin_on_a_page_of_their_own(tmp_path: Path) -> None:
    rows, columns = Source().shapes()["large"]
    transposed = Weight(("large",), ((rows, columns),), partial(side_by_side, 1.0))
    file = WeightFile("model.weights")
    first = file.place(weight("wide", 2, 3), (2, 3))
    second = file.place(transposed, (columns, rows))
    assert file.place(weight("wide", 2, 3), (2, 3)) is first
    assert file.place(Weight(("large",), ((rows, columns),), partial(side_by_side, 1.0)), (columns, rows)) is second
    assert (first.offset, second.offset) == (0, ALIGNMENT_BYTES)

    written = []
    file.write(tmp_path, Source(), written.append)
    content = (tmp_path / "model.weights").read_bytes()
    assert len(content) == file.size and sum(written) == first.length + second.length
    assert np.frombuffer(content, "<f4", 6).tolist() == [0, 1, 2, 3, 4, 5]
    found = np.frombuffer(content, "<f4", rows * columns, second.offset).reshape(columns, rows)
    np.testing.assert_array_equal(found, TENSORS["large"].T)


def test_a_tensor_that_is_not_what_the_graph_expects_is_refused(tmp_path: Path) -> None:
    file = WeightFile("model.weights")
    file.place(weight("wide", 3, 2), (3, 2))
    with pytest.raises(ValueError, match=r"needed both as \(3, 2\) and as \(6,\)"):
        file.place(weight("wide", 3, 2), (6,))
    with pytest.raises(ValueError, match=r"gave \(2, 3\), not \(3, 2\)"):
        file.write(tmp_path, Source(), lambda count: None)
