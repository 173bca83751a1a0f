"""What a graph gave, held against what it is to give: a wrong shape would often run on, and be heard as garbage."""

from __future__ import annotations

from collections.abc import Mapping

from stream_omni.graphs import Graph
from stream_omni.runtime.session import Array


class GraphError(RuntimeError):
    """A graph gave what it never should: the fault of the server, whoever asked."""


def check_outputs(graph: Graph, inputs: Mapping[str, Array], found: Mapping[str, Array]) -> None:
    """Shapes and types of all outputs, some microseconds. Raises GraphError with what is wrong."""
    sizes = {
        axis: size
        for tensor in graph.inputs
        for axis, size in zip(tensor.axes, inputs[tensor.name].shape, strict=True)
        if isinstance(axis, str)
    }
    for tensor in graph.outputs:
        array = found[tensor.name]
        shape = tuple(axis if isinstance(axis, int) else _size(axis, sizes) for axis in tensor.axes)
        if array.shape != shape or array.dtype != tensor.dtype:
            given, due = f"{array.dtype} {list(array.shape)}", f"{tensor.dtype} {list(shape)}"
            raise GraphError(f"the graph {graph.name} gave {tensor.name} as {given} instead of {due}")


def _size(axis: str, sizes: Mapping[str, int]) -> int:
    """Of "T", or of "480*T"."""
    factor, _, letter = axis.rpartition("*")
    return int(factor or 1) * sizes[letter]
