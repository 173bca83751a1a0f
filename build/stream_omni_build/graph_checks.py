"""Every exported graph beside the network that it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.networks.weights import load_weights
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.torch_runtime import TorchSession
from stream_omni.weights import TensorSource
from stream_omni_build.parity import check_graph
from stream_omni_build.parity_cases import parity_cases
from stream_omni_build.progress import Progress


def check_graphs(
    info: ModelInfo, sources: Mapping[str, TensorSource], out: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Compare every graph in ``out`` with its network, one after the other, so that memory holds one only.

    Raises ParityError.
    """
    found = {}
    for name, graph in graphs(info).items():
        with progress.step(f"check {name}"):
            network = make_network(name, info)
            load_weights(network, sources[SOURCE_OF[name]])
            exported = OnnxRuntime(out).load(name)
            parity = check_graph(graph, TorchSession(graph, network), exported, parity_cases(graph, info))
        found[name] = dataclasses.asdict(parity)
    return found
