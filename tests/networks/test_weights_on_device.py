"""Weights that travel to a device as the file has them are those that the host would have made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stream_omni.checkpoint import read_model_info
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.networks.weights import Network, load_on_device, load_weights
from stream_omni.tensor_files import CheckpointTensors

CPU = torch.device("cpu")
GRAPHS = [graph for graph, source in SOURCE_OF.items() if source == "model"]


@pytest.fixture(scope="module")
def stored(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CheckpointTensors]:
    """The tiny checkpoint's tensors as files of each kind, by its name."""
    source, found = CheckpointTensors(tiny_checkpoint), {}
    for name, dtype in (("F32", torch.float32), ("F16", torch.float16), ("BF16", torch.bfloat16)):
        folder = tmp_path_factory.mktemp(name)
        save_file(
            {key: torch.tensor(source.get(key)).to(dtype) for key in source.shapes()}, folder / "model.safetensors"
        )
        found[name] = CheckpointTensors(folder)
        assert {found[name].stored(key).kind for key in source.shapes()} == {name}
    return found


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_they_are_those_that_the_host_makes(
    graph: str, kind: str, stored: dict[str, CheckpointTensors], tiny_checkpoint: Path
) -> None:
    info = read_model_info(tiny_checkpoint)
    host, there = make_network(graph, info), make_network(graph, info)
    load_weights(host, stored[kind])
    for dtype in (torch.bfloat16, torch.float32):
        load_on_device(there, stored[kind], CPU, dtype)
        for name, values in parameters(there).items():
            due = parameters(host)[name]
            due = due.to(dtype) if due.is_floating_point() and due.dim() > 1 else due
            assert values.is_contiguous() and values.dtype == due.dtype, name
            assert torch.equal(values, due), name


def parameters(network: Network) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters())


def test_the_host_widens_nothing(
    stored: dict[str, CheckpointTensors], tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which would take minutes for 16 GB."""

    def refuse(tensors: CheckpointTensors, name: str) -> None:
        raise AssertionError(f"{name} was read on the host")

    monkeypatch.setattr(CheckpointTensors, "get", refuse)
    network = make_network("llm", read_model_info(tiny_checkpoint))
    load_on_device(network, stored["BF16"], CPU, torch.bfloat16)
    assert all(values.device == CPU for values in network.parameters())
