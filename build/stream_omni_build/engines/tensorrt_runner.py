"""A compiled plan run on recorded inputs. Never run without a GPU: everything here is listed in docs/production.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stream_omni.graphs import Graph
from stream_omni.runtime.outputs import output_shapes
from stream_omni.runtime.tensorrt_runtime import TensorRtProgram
from stream_omni_build.engines.recording import Values


class TensorRtRunner:
    """See :class:`~stream_omni_build.engines.verify.Runner`; the plan runs as the stages run it."""

    def __init__(self, trt: Any, plan: Path, graph: Graph, gpu: int) -> None:
        self._device = torch.device("cuda", gpu)
        self._graph = graph
        with torch.cuda.device(self._device):
            self._program = TensorRtProgram(plan, trt)

    def run(self, inputs: Values) -> Values:
        with torch.cuda.device(self._device):
            taken = {
                name: torch.from_numpy(inputs[name]).to(self._device, self._program.types[name]).contiguous()
                for name in (*(tensor.name for tensor in self._graph.inputs), *self._graph.cache_names())
            }
            given = {
                name: torch.empty(shape, dtype=self._program.types[name], device=self._device)
                for name, shape in self._shapes(inputs).items()
            }
            stream = torch.cuda.current_stream()
            self._program.run({**taken, **given}, stream.cuda_stream)
            stream.synchronize()
            return {name: _on_host(tensor) for name, tensor in given.items()}

    def _shapes(self, inputs: Values) -> dict[str, tuple[int, ...]]:
        graph = self._graph
        shapes = output_shapes(graph, {tensor.name: inputs[tensor.name].shape for tensor in graph.inputs})
        for cache, new in zip(graph.cache_names(), graph.new_cache_names(), strict=True):
            batch, heads, _, size = inputs[cache].shape
            shapes[new] = (batch, heads, inputs["positions"].shape[1], size)
        return shapes


def _on_host(tensor: torch.Tensor) -> Any:
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
