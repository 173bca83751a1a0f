"""What the networks need of a checkpoint, by names and shapes alone."""

from __future__ import annotations

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.weights import Shapes, host_tensors


def needed_tensors(info: ModelInfo) -> dict[str, Shapes]:
    """Shapes by tensor name, for each tensor source (see ``networks.SOURCE_OF``): those of all networks, and those that
    are used outside them."""
    needed = host_tensors(info)
    for graph in graphs(info):
        found = needed.setdefault(SOURCE_OF[graph], {})
        for weight in make_network(graph, info).weights().values():
            found |= zip(weight.sources, weight.shapes, strict=True)
    return needed
