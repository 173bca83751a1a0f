"""The voice's graphs in PyTorch, without a language model beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from stream_omni.cosyvoice_checkpoint import open_flow, open_hift
from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.networks.weights import load_weights
from stream_omni.runtime.session import Array


class VoiceSession:
    def __init__(self, name: str, info: ModelInfo, cosyvoice: Path) -> None:
        self.graph, self.network = graphs(info)[name], make_network(name, info)
        load_weights(self.network, {"flow": open_flow, "hift": open_hift}[SOURCE_OF[name]](cosyvoice))
        self.calls: list[int] = []  # batch size of each run

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        for tensor in self.graph.inputs:
            array = inputs[tensor.name]
            assert array.dtype == tensor.dtype, (tensor, array.dtype)
            assert array.ndim == len(tensor.axes), (tensor, array.shape)
        self.calls.append(len(inputs[self.graph.inputs[0].name]))
        found = self.network(*(torch.from_numpy(np.ascontiguousarray(inputs[t.name])) for t in self.graph.inputs))
        found = found if isinstance(found, tuple) else (found,)
        return {t.name: array.numpy() for t, array in zip(self.graph.outputs, found, strict=True)}


class VoiceRuntime:
    def __init__(self, info: ModelInfo, cosyvoice: Path) -> None:
        names = ("flow_encoder", "flow_estimator", "f0_predictor", "vocoder")
        self.info, self.sessions = info, {name: VoiceSession(name, info, cosyvoice) for name in names}

    def session(self, graph: str) -> VoiceSession:
        return self.sessions[graph]
