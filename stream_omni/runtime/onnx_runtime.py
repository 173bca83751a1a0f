"""Runs built graphs with ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from stream_omni.graphs import Graph, graphs
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.outputs import check_outputs
from stream_omni.runtime.screened import LazySession, ScreenedSession, TwoBest
from stream_omni.runtime.session import Array, Session


class OnnxSession:
    """One loaded graph; see :class:`stream_omni.runtime.session.Session`.

    A cache's output is bound to the memory of its input, so that ScatterND writes only the new rows instead of copying
    the whole cache. ONNX Runtime does this but does not promise it: tests/runtime/test_onnx_runtime.py holds it to it.
    ``graph`` is what its outputs are held against; None where only the file knows them.
    """

    def __init__(
        self, path: Path, cache_names: Sequence[str] = (), threads: int = 1, graph: Graph | None = None
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # waiting threads would spin on cores that other stages need
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._name, self._graph = path.stem, graph
        self._caches = tuple(cache_names)
        self._inputs = {i.name for i in self._session.get_inputs()} - set(self._caches)
        outputs = [o.name for o in self._session.get_outputs()]
        self._outputs = outputs[: len(outputs) - len(self._caches)]
        self._updated_caches = outputs[len(self._outputs) :]

    @property
    def interface(self) -> tuple[list[str], list[str]]:
        """Names of inputs and outputs, but for the caches, in the graph's order."""
        inputs = [i.name for i in self._session.get_inputs()]
        return [name for name in inputs if name in self._inputs], self._outputs

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        """Run once and return the outputs by name, without the caches, which are updated in place.

        Raises ValueError where inputs or caches are not those of the graph, or a cache could not be updated in place;
        GraphError where the outputs are not.
        """
        if inputs.keys() != self._inputs:
            raise ValueError(f"{self._name} takes {sorted(self._inputs)}, not {sorted(inputs)}")
        if len(caches) != len(self._caches):
            raise ValueError(f"{self._name} takes {len(self._caches)} caches, not {len(caches)}")
        found = self._execute(inputs, caches)
        if self._graph is not None:
            check_outputs(self._graph, inputs, found)
        return found

    def _execute(self, inputs: Mapping[str, Array], caches: Sequence[Array]) -> dict[str, Array]:
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        # every output is bound before the run: a single unbound one would bring back the copy of the caches
        for name in self._outputs:
            binding.bind_output(name, "cpu")
        for name, updated, cache in zip(self._caches, self._updated_caches, caches, strict=True):
            if cache.dtype != np.float32 or not cache.flags.c_contiguous:
                raise ValueError(f"{self._name}: cache {name} must be float32 and C-contiguous to be updated in place")
            value = ort.OrtValue.ortvalue_from_numpy(cache)
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(updated, value)
        self._session.run_with_iobinding(binding)
        found = binding.get_outputs()[: len(self._outputs)]
        return {name: value.numpy() for name, value in zip(self._outputs, found, strict=True)}


class OnnxRuntime:
    """What ``stream-omni build`` wrote to the directory ``artifacts``, ready to run; ``threads`` for each graph.

    Raises FileNotFoundError, which names the command that mends it, where the directory or a graph is missing.
    """

    def __init__(self, artifacts: Path, threads: int = 1) -> None:
        self._artifacts = artifacts
        self._threads = threads
        self._sessions: dict[str, OnnxSession] = {}
        self.info = ModelInfo.load(self._existing("assets/model.json"))
        self._graphs = graphs(self.info)

    def session(self, graph: str) -> Session:
        """To run a graph: one of :mod:`stream_omni.graphs` or "speech_tokenizer", which comes as ONNX with the
        checkpoint and keeps its own names. Where heads are screened, "speech_bottom_step" and "llm_greedy" are run so,
        and graphs with whole heads are loaded when a step first needs one."""
        if not self.info.screened_heads:
            return self.load(graph)
        if graph == "speech_bottom_step":
            return ScreenedSession(self.load("speech_bottom_step_screened"), LazySession(lambda: self.load(graph)))
        if graph == "llm_greedy":
            return ScreenedSession(self.load(graph), TwoBest(self.session("llm")))
        return LazySession(lambda: self.load(graph)) if graph == "llm" else self.load(graph)

    def load(self, graph: str) -> OnnxSession:
        """Just this graph, loaded when first asked for."""
        if graph not in self._sessions:
            known = self._graphs.get(graph)
            caches = known.cache_names() if known else []
            self._sessions[graph] = OnnxSession(self._existing(f"graphs/{graph}.onnx"), caches, self._threads, known)
        return self._sessions[graph]

    def _existing(self, name: str) -> Path:
        path = self._artifacts / name
        if not path.is_file():
            command = f"stream-omni build --checkpoint DIR --cosyvoice DIR --target cpu --out {self._artifacts}"
            raise FileNotFoundError(f"{path} does not exist; build it with: {command}")
        return path
