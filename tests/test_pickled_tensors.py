"""``.pt`` files are read as PyTorch reads them, without it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.pickled_tensors import PickledTensors, read_pickle


def test_values_are_pytorchs_in_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    grid = torch.randn(6, 8)
    state = OrderedDict(
        single=grid,
        half=grid.half(),
        brain=grid.bfloat16(),
        double=grid.double(),
        counts=torch.arange(5),
        flags=torch.tensor([True, False]),
        turned=grid.T,
        part=grid[1:5:2, 3:],  # shares the values of the first, and skips some
        repeated=grid[:1].expand(4, 8),
        scalar=torch.tensor(2.5),
        empty=torch.empty(0, 3),
        parameter=torch.nn.Parameter(grid + 1),
        step=7,
        name="flow",
    )
    torch.save(state, tmp_path / "state.pt")
    found = PickledTensors(tmp_path / "state.pt")
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    assert found.shapes() == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        values = found.get(name)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, tensor.detach().float().numpy(), err_msg=name)
    assert read_pickle(tmp_path / "state.pt")["name"] == "flow"


def test_what_is_changed_in_memory_does_not_reach_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"x": torch.zeros(4)}, path)
    before, values = path.read_bytes(), PickledTensors(path).get("x")
    values += 1
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [torch.nn.Linear(2, 2), torch.complex(torch.ones(2), torch.ones(2))])
def test_what_is_neither_a_real_tensor_nor_plain_data_is_refused(tmp_path: Path, value: object) -> None:
    torch.save({"x": value}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match=r"it names torch\.[\w.]+, which is neither a tensor nor plain data"):
        read_pickle(tmp_path / "state.pt")


def test_a_tensor_beyond_its_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"x": torch.zeros(0x41)}, path)
    content = path.read_bytes()
    assert content.count(b"K\x41") >= 2  # the number of values, and the only size
    path.write_bytes(content.replace(b"K\x41", b"K\x42"))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_pickle(path)
