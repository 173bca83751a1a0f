"""A network traced into an ONNX graph without its weights: they become inputs of the graph.

Nothing is computed and nothing is held: the network and its inputs live on the "meta" device.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from stream_omni import graphs
from stream_omni.graphs import Graph
from stream_omni.model_info import LlamaSizes
from stream_omni.networks.llama import give_only_new
from stream_omni.networks.weights import Network

OPSET = 18  # the newest that ONNX Runtime, TensorRT 10.14 and PyTorch's tracing exporter all take
# Sizes of the dynamic axes while tracing: all different, and none is 1, so that no axis is taken for another, or for
# one to broadcast along.
_SIZES = {"B": 2, "T": 3, "S": 8, "R": 5, "N": 4}


def trace(graph: Graph, network: Network, llama: LlamaSizes, only_new: bool = False) -> onnx.ModelProto:
    """``network``, on "meta", as the ONNX model of ``graph``. The network's parameters are inputs after the caches, by
    their own names, as far as the graph uses them. The network itself is used up. ``only_new``: the graph leaves its
    caches alone and gives the new keys and values (``Graph.new_cache_names``), as TensorRT wants it."""
    caches = [
        graphs.Tensor(name, "float32", ("B", llama.kv_heads, "S", llama.head_size)) for name in graph.cache_names()
    ]
    if only_new:
        give_only_new(network)
        shape = ("B", llama.kv_heads, "T", llama.head_size)
        updated = [graphs.Tensor(name, "float32", shape) for name in graph.new_cache_names()]
    else:
        updated = [graphs.Tensor(n, c.dtype, c.axes) for n, c in zip(graph.updated_cache_names(), caches, strict=True)]
    inputs, outputs = [*graph.inputs, *caches], [*graph.outputs, *updated]
    module = _WithParameters(network)
    with warnings.catch_warnings(), tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        # of this exporter; the newer one takes seven times as long for the same graph
        warnings.simplefilter("ignore", DeprecationWarning)
        # constants, and sizes taken as numbers on "meta" alone; the parity check finds a size that was fixed by mistake
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            module,
            (*(_example(tensor) for tensor in inputs), *module.taken),
            file.name,
            dynamo=False,
            opset_version=OPSET,
            export_params=False,
            do_constant_folding=False,
            input_names=[*(tensor.name for tensor in inputs), *module.names],
            output_names=[tensor.name for tensor in outputs],
            dynamic_axes={tensor.name: _dynamic(tensor) for tensor in (*inputs, *outputs)},
        )
        model = onnx.load(file.name)
    model.graph.name = graph.name
    return model


def _dynamic(tensor: graphs.Tensor) -> dict[int, str]:
    return {i: axis for i, axis in enumerate(tensor.axes) if isinstance(axis, str)}


def _example(tensor: graphs.Tensor) -> Tensor:
    sizes = [axis if isinstance(axis, int) else _traced_size(axis) for axis in tensor.axes]
    return torch.empty(sizes, dtype=getattr(torch, tensor.dtype), device="meta")


def _traced_size(axis: str) -> int:
    """Of a letter, or of a multiple of one, such as "256*T"."""
    factor, letter = re.fullmatch(r"(?:(\d+)\*)?([A-Z])", axis).groups()  # type: ignore[union-attr]
    return int(factor or 1) * _SIZES[letter]


class _WithParameters(nn.Module):
    """A network whose parameters are the last arguments of its ``forward``, and so inputs of its graph.

    PyTorch's own way of leaving parameters out of a graph first compares their values, and "meta" has none.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.names = [name for name, _ in network.named_parameters()]
        self.taken = [self._take(name) for name in self.names]

    def forward(self, *arguments: Tensor) -> Any:
        inputs = len(arguments) - len(self.names)
        for name, tensor in zip(self.names, arguments[inputs:], strict=True):
            owner, leaf = self._owner(name)
            setattr(owner, leaf, tensor)
        return self.network(*arguments[:inputs])

    def _take(self, name: str) -> Tensor:
        owner, leaf = self._owner(name)
        parameter = owner.get_parameter(leaf)
        delattr(owner, leaf)  # as a parameter; forward sets it as a plain tensor
        return parameter.detach()

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        path, _, leaf = name.rpartition(".")
        return self.network.get_submodule(path), leaf
