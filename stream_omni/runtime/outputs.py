"""What a graph gave, held against what it is to give: a wrong shape would often run on, and be heard as garbage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream_omni.graphs import Graph
from stream_omni.runtime.session import Array


class GraphError(RuntimeError):
    """A graph gave what it never should: the fault of the server, whoever asked."""


def check_outputs(graph: Graph, inputs: Mapping[str, Array], found: Mapping[str, Array]) -> None:
    """Shapes and types of all outputs, some microseconds. Raises GraphError with what is wrong."""
    shapes = output_shapes(graph, {tensor.name: inputs[tensor.name].shape for tensor in graph.inputs})
    for tensor in graph.outputs:
        array, shape = found[tensor.name], shapes[tensor.name]
        if array.shape != shape or array.dtype != tensor.dtype:
            given, due = f"{array.dtype} {list(array.shape)}", f"{tensor.dtype} {list(shape)}"
            raise GraphError(f"the graph {graph.name} gave {tensor.name} as {given} instead of {due}")


def output_shapes(graph: Graph, inputs: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Of all outputs by name, the caches left out, which follow from those of all inputs. Raises ValueError where the
    inputs contradict the graph or one another."""
    sizes: dict[str, int] = {}
    for tensor in graph.inputs:
        shape = inputs[tensor.name]
        known = [axis if isinstance(axis, int) else _known(axis, sizes) for axis in tensor.axes]
        if len(shape) != len(known) or any(k not in (None, s) for k, s in zip(known, shape, strict=True)):
            raise ValueError(f"{graph.name}: {tensor.name} is {list(shape)}, not {list(tensor.axes)} with {sizes}")
        sizes |= {axis: size for axis, size in zip(tensor.axes, shape, strict=True) if isinstance(axis, str)}
    return {
        tensor.name: tuple(axis if isinstance(axis, int) else _size(axis, sizes) for axis in tensor.axes)
        for tensor in graph.outputs
    }


def _known(axis: str, sizes: Mapping[str, int]) -> int | None:
    return _size(axis, sizes) if axis.rpartition("*")[2] in sizes else None


def _size(axis: str, sizes: Mapping[str, int]) -> int:
    """Of "T", or of "480*T"."""
    factor, _, letter = axis.rpartition("*")
    return int(factor or 1) * sizes[letter]
