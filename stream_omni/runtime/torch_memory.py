"""The memory of a device, held by PyTorch: what a GPU stage's arrays, caches and copies are made with.

PyTorch is the CUDA buffer library of every GPU stage; no other is loaded. On "cpu" the same code runs on plain memory,
which is how it is tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from stream_omni.runtime.session import Array


class TorchMemory:
    """``cache_dtype``: in which keys and values are kept. All work is ordered by one stream of the device, since steps
    follow one another; see :mod:`stream_omni.runtime.memory` for the rest."""

    def __init__(self, device: str, cache_dtype: torch.dtype = torch.float32) -> None:
        self.device = torch.device(device)
        self._cache_dtype = cache_dtype
        on_gpu = self.device.type == "cuda"
        self._stream = torch.cuda.Stream(self.device) if on_gpu else None  # type: ignore[no-untyped-call]

    @contextmanager
    def ordered(self) -> Iterator[int]:
        """Everything within is done on the stream, whose CUDA handle this is (0 without CUDA)."""
        if self._stream is None:
            yield 0
            return
        with torch.cuda.device(self.device), torch.cuda.stream(self._stream):
            yield self._stream.cuda_stream

    def caches(self, shape: tuple[int, ...]) -> torch.Tensor:
        return self._zeros(shape, self._cache_dtype)

    def zeros(self, shape: tuple[int, ...]) -> torch.Tensor:
        return self._zeros(shape, torch.float32)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Uninitialised."""
        with self.ordered():
            return torch.empty(shape, dtype=dtype, device=self.device)

    def put(self, array: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Of a NumPy array, or of a tensor that is there already. Contiguous."""
        with self.ordered():
            held = array if isinstance(array, torch.Tensor) else torch.from_numpy(_writable(array))
            return held.to(self.device, dtype or held.dtype).contiguous()

    def fetch(self, held: torch.Tensor) -> Array:
        with self.ordered():
            few_bits = held.is_floating_point() and held.dtype != torch.float64
            host = (held.float() if few_bits else held).cpu()  # waits for the stream
        found: Array = host.numpy()
        return found

    def join(self, held: Sequence[torch.Tensor]) -> torch.Tensor:
        with self.ordered():
            return torch.cat(list(held))

    def _zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        with self.ordered():
            return torch.zeros(shape, dtype=dtype, device=self.device)


_somewhere: dict[torch.device, torch.Tensor] = {}


def address(tensor: torch.Tensor) -> int:
    """To bind a tensor at: TensorRT and ONNX Runtime refuse the null pointer of one that holds nothing."""
    if tensor.numel():
        return tensor.data_ptr()
    if tensor.device not in _somewhere:
        _somewhere[tensor.device] = torch.empty(1, device=tensor.device)
    return _somewhere[tensor.device].data_ptr()


def _writable(array: Array) -> Array:
    """``torch.from_numpy`` warns of read-only memory, although nothing writes there."""
    contiguous = np.ascontiguousarray(array)
    return contiguous if contiguous.flags.writeable else contiguous.copy()
