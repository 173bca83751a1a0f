"""The served form of what is in training: the project's own engines over sessions made of the tensors as they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni.networks.weights import Network, load_weights
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.torch_runtime import TorchSession
from stream_omni_demo.trainee import Tensors


class Trained:
    """A runtime (:class:`stream_omni.runtime.session.Runtime`) over tensors in training; later steps do not reach
    sessions that are made. With ``as_written`` every tensor is rounded as the checkpoint's file will hold it."""

    def __init__(self, info: ModelInfo, tensors: Tensors, as_written: torch.dtype | None = torch.float16) -> None:
        self.info, self._tensors, self._as_written = info, tensors, as_written
        self._sessions: dict[str, Session] = {}

    def session(self, graph: str) -> Session:
        if graph not in self._sessions:
            self._sessions[graph] = TorchSession(graphs(self.info)[graph], self.network(graph))
        return self._sessions[graph]

    def network(self, graph: str) -> Network:
        network = make_network(graph, self.info)
        load_weights(network, self)
        return network

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._tensors.shapes()

    def get(self, name: str) -> Array:
        tensor = self._tensors.get(name).detach().clone()
        if self._as_written is not None:
            tensor = tensor.to(self._as_written)
        return tensor.to(torch.float32).numpy()
