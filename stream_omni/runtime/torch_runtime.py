"""Runs the networks in PyTorch, straight from a checkpoint: what the exported graphs are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.cosyvoice_checkpoint import SPEECH_TOKENIZER
from stream_omni.graphs import Graph, graphs
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.networks.weights import Network, load_weights
from stream_omni.runtime.session import Array, Session


class TorchSession:
    """One network in float32; see :class:`stream_omni.runtime.session.Session`."""

    def __init__(self, graph: Graph, network: Network) -> None:
        self._graph, self._network = graph, network
        self._names = [tensor.name for tensor in graph.inputs]

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        """Run once and return the outputs by name, without the caches, which are updated in place.

        Raises ValueError where inputs or caches are not those of the graph.
        """
        graph = self._graph
        if inputs.keys() != set(self._names):
            raise ValueError(f"{graph.name} takes {sorted(self._names)}, not {sorted(inputs)}")
        if len(caches) != 2 * graph.cache_layers:
            raise ValueError(f"{graph.name} takes {2 * graph.cache_layers} caches, not {len(caches)}")
        arrays = [np.require(inputs[t.name], t.dtype, ["C", "W"]) for t in graph.inputs]
        with torch.inference_mode():
            found = self._network(*map(torch.from_numpy, (*arrays, *caches)))
        found = found if isinstance(found, tuple) else (found,)
        return {tensor.name: value.numpy() for tensor, value in zip(graph.outputs, found, strict=False)}


class TorchRuntime:
    """A checkpoint's networks, each loaded when first asked for, from its own tensors alone."""

    def __init__(self, checkpoint: Path, cosyvoice: Path | None = None) -> None:
        """Raises CheckpointError where the directories do not hold what the networks need."""
        self.info = read_model_info(checkpoint, cosyvoice)
        self._sources = open_sources(checkpoint, cosyvoice)
        self._graphs = graphs(self.info)
        self._cosyvoice = cosyvoice
        self._sessions: dict[str, Session] = {}

    def session(self, graph: str) -> Session:
        """One of :mod:`stream_omni.graphs`, or "speech_tokenizer", which comes as ONNX with CosyVoice and so is run by
        ONNX Runtime. Raises KeyError for one that the checkpoint does not have."""
        if graph not in self._sessions:
            self._sessions[graph] = self._load_tokenizer() if graph == "speech_tokenizer" else self._load(graph)
        return self._sessions[graph]

    def _load(self, graph: str) -> TorchSession:
        described = self._graphs[graph]
        network = make_network(graph, self.info)
        load_weights(network, self._sources[SOURCE_OF[graph]])
        return TorchSession(described, network)

    def _load_tokenizer(self) -> Session:
        from stream_omni.runtime.onnx_runtime import OnnxSession

        path = self._cosyvoice / SPEECH_TOKENIZER if self._cosyvoice else None
        if path is None or not path.is_file():
            raise KeyError(f"there is no {SPEECH_TOKENIZER} in {self._cosyvoice}")
        return OnnxSession(path)
