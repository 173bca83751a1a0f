"""ONNX Runtime as the program of a :class:`~stream_omni.runtime.device_session.DeviceSession`: over plain memory it
runs the very lines that bind a GPU's memory, caches and outputs for TensorRT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort
import torch

from stream_omni.runtime.torch_memory import address

_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(int64)": torch.int64,
}
_ELEMENTS = {  # of onnx.TensorProto
    torch.float32: 1,
    torch.int64: 7,
}


class OnnxProgram:
    in_place = True  # of ONNX Runtime's ScatterND; tests/runtime/test_onnx_runtime.py holds it to it

    def __init__(self, path: Path, optimised: bool = True) -> None:
        """``optimised``: not what tells of rounding, of which nothing may be left out."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        if not optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = {i.name for i in self._session.get_inputs()}
        both = (*self._session.get_inputs(), *self._session.get_outputs())
        self.types: Mapping[str, torch.dtype] = {tensor.name: _TYPES[tensor.type] for tensor in both}

    def run(self, tensors: Mapping[str, torch.Tensor], stream: int) -> None:
        binding = self._session.io_binding()
        for name, tensor in tensors.items():
            bind = binding.bind_input if name in self._inputs else binding.bind_output
            bind(name, "cpu", 0, _ELEMENTS[tensor.dtype], list(tensor.shape), address(tensor))
        self._session.run_with_iobinding(binding)
