"""A compiled graph on a device: which address each of its tensors has in a run, and what travels.

Only small things do: ids, positions and chosen rows to the device, labels and logits back. Caches stay where they are,
and so do the outputs that the next graph takes (:data:`HANDED_ON`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from stream_omni.graphs import Graph
from stream_omni.runtime.outputs import output_shapes
from stream_omni.runtime.prefill import CHUNK_TOKENS
from stream_omni.runtime.session import Array
from stream_omni.runtime.torch_memory import TorchMemory

# graph: outputs that stay on the device, since another graph takes them and the host only passes them on
HANDED_ON = {
    "speech_bottom_step": ("hidden",),
    "speech_bottom_step_screened": ("hidden",),
    "flow_estimator": ("velocity",),
}


class Program(Protocol):
    """A compiled graph that reads and writes memory at given addresses.

    ``types``: of every input and output. ``in_place``: whether an updated cache may have its input's own address.
    """

    types: Mapping[str, torch.dtype]
    in_place: bool

    def run(self, tensors: Mapping[str, torch.Tensor], stream: int) -> None:
        """Begin a run, on the stream, with every input and output at the address of its tensor."""
        ...


class OnDevice(ABC):
    """See :class:`stream_omni.runtime.session.Session`. Caches are the memory's (``TorchMemory.caches``), and inputs
    NumPy arrays or tensors that are there already. ``chunk_tokens``: of a prompt, read in one run."""

    def __init__(self, graph: Graph, memory: TorchMemory, chunk_tokens: int = CHUNK_TOKENS) -> None:
        self.memory, self.chunk_tokens = memory, chunk_tokens
        self._graph = graph
        self._kept = HANDED_ON.get(graph.name, ())

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Any] = ()) -> dict[str, Any]:
        """Run once and return the outputs by name, without the caches, which are updated in place.

        Raises ValueError where inputs or caches are not those of the graph.
        """
        made = self.run_there(inputs, caches)
        return {name: made[name] if name in self._kept else self.memory.fetch(made[name]) for name in made}

    def run_there(self, inputs: Mapping[str, Array], caches: Sequence[Any] = ()) -> dict[str, torch.Tensor]:
        """The same with all outputs left on the device, float32 where they are numbers. Nobody has waited for them."""
        graph = self._graph
        if inputs.keys() != (wanted := {tensor.name for tensor in graph.inputs}):
            raise ValueError(f"{graph.name} takes {sorted(wanted)}, not {sorted(inputs)}")
        if len(caches) != 2 * graph.cache_layers:
            raise ValueError(f"{graph.name} takes {2 * graph.cache_layers} caches, not {len(caches)}")
        with self.memory.ordered() as stream:
            made = self._execute(inputs, caches, stream)
            return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in made.items()}

    @abstractmethod
    def _execute(self, inputs: Mapping[str, Array], caches: Sequence[Any], stream: int) -> dict[str, torch.Tensor]:
        """The outputs, caches left out."""


class TwoBestThere:
    """``llm`` with the two best ids in place of its logits, found on the device: a few bytes travel, not megabytes."""

    def __init__(self, llm: OnDevice) -> None:
        self.memory, self.chunk_tokens = llm.memory, llm.chunk_tokens
        self._llm = llm

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Any] = ()) -> dict[str, Array]:
        logits = self._llm.run_there(inputs, caches)["logits"]
        with self.memory.ordered():
            values, ids = torch.topk(logits, 2, -1)  # of a NaN, if there is one
        return {"best_ids": self.memory.fetch(ids), "best_logits": self.memory.fetch(values)}


class DeviceSession(OnDevice):
    """A compiled graph.

    A program gives its caches back in one of two forms, which its outputs' names tell. ``updated_keys_0`` and so on:
    whole, written by the graph to the input's own memory. ``new_keys_0`` and so on: only the keys and values of the new
    positions, [B, kv_heads, T, head_size], which are written into the caches after the run; so no cache is ever copied
    by a runtime that does not promise the first.
    """

    def __init__(self, program: Program, graph: Graph, memory: TorchMemory, chunk_tokens: int = CHUNK_TOKENS) -> None:
        """Raises ValueError where the program is not this graph, or would write where it may not."""
        super().__init__(graph, memory, chunk_tokens)
        self._program = program
        self._caches, self._updated, self._new = (
            graph.cache_names(),
            graph.updated_cache_names(),
            graph.new_cache_names(),
        )
        self._in_place = bool(self._caches) and self._updated[0] in program.types
        self._check_program()

    def _execute(self, inputs: Mapping[str, Array], caches: Sequence[Any], stream: int) -> dict[str, torch.Tensor]:
        types = self._program.types
        taken = {name: self.memory.put(array, types[name]) for name, array in inputs.items()}
        shapes = output_shapes(self._graph, {name: tensor.shape for name, tensor in taken.items()})
        made = {name: self.memory.empty(shape, types[name]) for name, shape in shapes.items()}
        bound, new = self._bind_caches(caches, taken)
        self._program.run({**taken, **made, **bound}, stream)
        for cache, rows in new:
            _write(cache, rows, taken["positions"])
        return made

    def _bind_caches(
        self, caches: Sequence[torch.Tensor], taken: Mapping[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]]]:
        """Cache tensors by their names as inputs and outputs; caches, and what is to be written there after the run."""
        for name, cache in zip(self._caches, caches, strict=True):
            if cache.dtype != (due := self._program.types[name]) or not cache.is_contiguous():
                raise ValueError(f"{self._graph.name}: cache {name} must be {due} and contiguous to be used as it is")
        bound = dict(zip(self._caches, caches, strict=True))
        if self._in_place:
            return bound | dict(zip(self._updated, caches, strict=True)), []
        new = []
        for name, cache in zip(self._new, caches, strict=True):
            batch, kv_heads, _, head_size = cache.shape
            shape = (batch, kv_heads, taken["positions"].shape[1], head_size)
            bound[name] = self.memory.empty(shape, self._program.types[name])
            new.append((cache, bound[name]))
        return bound, new

    def _check_program(self) -> None:
        caches = [*self._caches, *(self._updated if self._in_place else self._new)]
        due = {tensor.name for tensor in (*self._graph.inputs, *self._graph.outputs)} | set(caches)
        if due != self._program.types.keys():
            wrong = ", ".join(sorted(due ^ self._program.types.keys()))
            raise ValueError(f"the program is not {self._graph.name}: {wrong} is missing or too much")
        if self._in_place and not self._program.in_place:
            raise ValueError(f"{self._graph.name} gives whole caches, which this runtime cannot update in place")


def _write(cache: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor) -> None:
    """Into ``cache`` [B, kv_heads, S, head_size] the ``rows`` [B, kv_heads, T, head_size] at ``positions`` [B, T]."""
    at = positions[:, None, :, None].expand(rows.shape)
    cache.scatter_(2, at, rows)
