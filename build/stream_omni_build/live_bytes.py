"""How much memory a network's intermediate results need, found by running it on PyTorch's "meta" device: shapes alone,
no values, no memory, the real size of the model in a second."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts storages that operators make while it is entered: ``peak`` is the most that lived at once."""

    def __init__(self, known: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: weakref.WeakKeyDictionary[torch.UntypedStorage, int] = weakref.WeakKeyDictionary()
        for tensor in known:  # weights and inputs, which are counted elsewhere
            self._seen[tensor.untyped_storage()] = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.is_meta and tensor.untyped_storage() not in self._seen:
                self._begin(tensor.untyped_storage())
        return result

    def _begin(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._seen[storage] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._end, size)

    def _end(self, size: int) -> None:
        self.live -= size


def workspace_bytes(network: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> int:
    """The peak of one run of ``network``, on the "meta" device as its ``inputs`` are: results, but not what came in."""
    with LiveBytes([*network.parameters(), *network.buffers(), *inputs]) as counted, torch.no_grad():
        network(*inputs)
    return counted.peak
