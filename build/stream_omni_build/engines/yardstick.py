"""What a precision loses by itself on recorded calls: the measure that Llama's engines are held to."""

from __future__ import annotations

from collections.abc import Sequence

from stream_omni.graphs import Graph
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.session import Session
from stream_omni.weights import TensorSource
from stream_omni_build.engines.recording import Call, Values, new_rows
from stream_omni_build.engines.verify import Off, errors_of
from stream_omni_build.plain_llama import STACKS, PlainRuntime


class SessionRunner:
    """A session as a :class:`~stream_omni_build.engines.verify.Runner`: caches among the inputs, new keys and values
    among the outputs."""

    def __init__(self, session: Session, graph: Graph) -> None:
        self._session, self._graph = session, graph

    def run(self, inputs: Values) -> Values:
        caches = [inputs[name].copy() for name in self._graph.cache_names()]
        found = self._session.run({tensor.name: inputs[tensor.name] for tensor in self._graph.inputs}, caches)
        for name, cache in zip(self._graph.new_cache_names(), caches, strict=True):
            found[name] = new_rows(cache, inputs["positions"])
        return found


def lost_in(
    precision: str, graph: Graph, info: ModelInfo, tensors: TensorSource, calls: Sequence[Call]
) -> dict[str, Off]:
    """By output of a stack of Llama layers, how far a plain forward pass is off. Nothing of other graphs, and in fp32,
    which have tolerances that are numbers."""
    if graph.name not in STACKS or precision == "fp32":
        return {}
    session = PlainRuntime(info, tensors, precision).session(graph.name)
    return errors_of(SessionRunner(session, graph), calls)
