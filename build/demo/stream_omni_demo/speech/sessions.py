"""Networks run from tensors in training, behind the face that served ones have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni.runtime.session import Array, Session
from stream_omni_demo.trainee import Tensors


class TrainedSession:
    """One of :mod:`stream_omni.graphs`, without caches."""

    def __init__(self, graph: str, info: ModelInfo, tensors: Tensors) -> None:
        self._graph, self._network, self._tensors = graphs(info)[graph], make_network(graph, info), tensors

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        assert not caches, f"{self._graph.name} was given caches"
        arrays = [torch.from_numpy(inputs[tensor.name]) for tensor in self._graph.inputs]
        with torch.no_grad():
            found = self._tensors.run(self._network, *arrays)
        found = found if isinstance(found, tuple) else (found,)
        return {tensor.name: value.numpy() for tensor, value in zip(self._graph.outputs, found, strict=True)}


class TrainedRuntime:
    """The sessions of some sources' tensors, by the graphs' names; see :class:`stream_omni.runtime.session.Runtime`."""

    def __init__(self, info: ModelInfo, tensors: Mapping[str, Tensors]) -> None:
        """``tensors`` by graph name."""
        self.info = info
        self._sessions: dict[str, Session] = {name: TrainedSession(name, info, t) for name, t in tensors.items()}

    def session(self, graph: str) -> Session:
        return self._sessions[graph]
