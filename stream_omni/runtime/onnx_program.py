"""ONNX Runtime as the program of a :class:`~stream_omni.runtime.device_session.DeviceSession`.

On the CPU it runs the very code that binds a GPU's memory, caches and outputs for TensorRT; on a GPU with
onnxruntime-gpu it runs a graph that TensorRT cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort
import torch

from stream_omni.graphs import Graph
from stream_omni.runtime.device_session import DeviceSession
from stream_omni.runtime.torch_memory import TorchMemory

_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(bfloat16)": torch.bfloat16,
    "tensor(int64)": torch.int64,
    "tensor(int32)": torch.int32,
    "tensor(bool)": torch.bool,
}
_ELEMENTS = {  # of onnx.TensorProto
    torch.float32: 1,
    torch.int32: 6,
    torch.int64: 7,
    torch.bool: 9,
    torch.float16: 10,
    torch.bfloat16: 16,
}


class OnnxProgram:
    in_place = True  # of ONNX Runtime's ScatterND; tests hold it to it

    def __init__(self, path: Path, device: torch.device) -> None:
        provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(str(path), options, providers=[provider])
        self._device = device
        self._inputs = {i.name for i in self._session.get_inputs()}
        both = (*self._session.get_inputs(), *self._session.get_outputs())
        self.types: dict[str, torch.dtype] = {tensor.name: _TYPES[tensor.type] for tensor in both}

    def run(self, tensors: Mapping[str, torch.Tensor], stream: int) -> None:
        """``stream`` is not used: on a GPU the run is over when this returns, and so must be what came before."""
        if self._device.type == "cuda":
            torch.cuda.current_stream().synchronize()
        binding = self._session.io_binding()
        for name, tensor in tensors.items():
            bind = binding.bind_input if name in self._inputs else binding.bind_output
            place = (self._device.type, self._device.index or 0)
            bind(name, *place, _ELEMENTS[tensor.dtype], list(tensor.shape), tensor.data_ptr())
        self._session.run_with_iobinding(binding)


def onnx_session(path: Path, graph: Graph, memory: TorchMemory) -> DeviceSession:
    """A built graph of the CPU target, run in a device's memory."""
    return DeviceSession(OnnxProgram(path, memory.device), graph, memory)
