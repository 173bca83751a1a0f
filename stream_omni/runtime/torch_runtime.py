"""Runs the networks in PyTorch, straight from a checkpoint: what the exported graphs are compared with.

On a device it is also a runtime that serves: nothing is built, so it starts as fast as weights are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.cosyvoice_checkpoint import SPEECH_TOKENIZER
from stream_omni.graphs import Graph, graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.networks.fused_attention import fuse_attention
from stream_omni.networks.weights import Network, load_on_device, load_weights
from stream_omni.runtime.device_session import OnDevice, TwoBestThere
from stream_omni.runtime.prefill import CHUNK_TOKENS
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.torch_memory import TorchMemory


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


class TorchDeviceSession(OnDevice):
    """One network on a device, its matrices and products in ``dtype``; the residual stream, norms, rotations and
    softmax stay in float32."""

    def __init__(
        self, graph: Graph, network: Network, memory: TorchMemory, dtype: torch.dtype, chunk_tokens: int
    ) -> None:
        super().__init__(graph, memory, chunk_tokens)
        self._network, self._dtype = network, dtype
        fuse_attention(network, memory.device, dtype)

    def _execute(self, inputs: Mapping[str, Array], caches: Sequence[Any], stream: int) -> dict[str, torch.Tensor]:
        taken = [self.memory.put(inputs[t.name], getattr(torch, t.dtype)) for t in self._graph.inputs]
        narrow = torch.autocast(self.memory.device.type, self._dtype, enabled=self._dtype != torch.float32)
        with torch.inference_mode(), narrow:
            found = self._network(*taken, *caches)
        found = found if isinstance(found, tuple) else (found,)
        return {tensor.name: value for tensor, value in zip(self._graph.outputs, found, strict=False)}


_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def type_of(precision: str) -> torch.dtype:
    """By a deployment's word for it. Raises KeyError."""
    return _TYPES[precision]


@dataclass(frozen=True)
class Device:
    """Where and how networks run. ``name``: "cuda:0", or "cpu"; ``dtype``: of matrices, products and caches."""

    name: str
    dtype: torch.dtype = torch.float32
    chunk_tokens: int = CHUNK_TOKENS


class TorchRuntime:
    """A checkpoint's networks, each loaded when first asked for, from its own tensors alone.

    Without a ``device`` they are the reference on the CPU, between NumPy arrays.
    """

    def __init__(
        self,
        checkpoint: Path,
        cosyvoice: Path | None = None,
        device: Device | None = None,
        info: ModelInfo | None = None,
    ) -> None:
        """``info``: as a build chose it, which may leave ids out; None: as the checkpoint has it. Raises
        CheckpointError where the directories do not hold what the networks need."""
        self.info = info or read_model_info(checkpoint, cosyvoice)
        self.finds_best_there = device is not None
        self._device = device
        self._memory = TorchMemory(device.name, device.dtype) if device else None
        self._sources = open_sources(checkpoint, cosyvoice)
        self._graphs = graphs(self.info)
        self._cosyvoice = cosyvoice
        self._sessions: dict[str, Session] = {}

    def session(self, graph: str) -> Session:
        """One of :mod:`stream_omni.graphs`, or "speech_tokenizer", which comes as ONNX with CosyVoice and so is run by
        ONNX Runtime. Raises KeyError for one that the checkpoint does not have."""
        if graph not in self._sessions:
            self._sessions[graph] = self._load(graph)
        return self._sessions[graph]

    def _load(self, graph: str) -> Session:
        if graph == "speech_tokenizer":
            return self._load_tokenizer()
        if graph == "llm_greedy" and self._device:
            llm = self.session("llm")
            assert isinstance(llm, OnDevice)
            return TwoBestThere(llm)
        described, network = self._graphs[graph], make_network(graph, self.info)
        if self._device is None or self._memory is None:
            load_weights(network, self._sources[SOURCE_OF[graph]])
            return TorchSession(described, network)
        load_on_device(network, self._sources[SOURCE_OF[graph]], self._memory.device, self._device.dtype)
        return TorchDeviceSession(described, network, self._memory, self._device.dtype, self._device.chunk_tokens)

    def _load_tokenizer(self) -> Session:
        from stream_omni.runtime.onnx_runtime import OnnxSession

        path = self._cosyvoice / SPEECH_TOKENIZER if self._cosyvoice else None
        if path is None or not path.is_file():
            raise KeyError(f"there is no {SPEECH_TOKENIZER} in {self._cosyvoice}")
        return OnnxSession(path)
