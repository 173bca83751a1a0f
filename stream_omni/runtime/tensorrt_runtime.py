"""Runs compiled TensorRT plans. Every attribute used here exists in TensorRT 10.14, 11.4 and RTX (tests hold it)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.device_session import DeviceSession, TwoBestThere
from stream_omni.runtime.engine_manifest import Machine, find_plans
from stream_omni.runtime.session import Session
from stream_omni.runtime.torch_memory import TorchMemory, address

# an engine's precision: in which its caches are kept; weights of 8 bits are multiplied in bf16
CACHE_TYPES = {"fp32": torch.float32, "fp16": torch.float16} | dict.fromkeys(("bf16", "int8", "fp8"), torch.bfloat16)


class _Profile(NamedTuple):
    """One of a plan's optimisation profiles, such as a step of all turns or a piece of a prompt; ``spans``: of each
    input the least and the most of its sizes."""

    context: Any
    spans: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def takes(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        return all(
            all(least <= size <= most for least, size, most in zip(low, shapes[name], high, strict=True))
            for name, (low, high) in self.spans.items()
        )


class TensorRtProgram:
    """A plan. What a run of it needs is lent to it for that run (:func:`lend_memory`). One thread at a time runs it.

    ``trt`` is the module "tensorrt", or "tensorrt_rtx" for a plan that it made.
    """

    in_place = False  # TensorRT promises nothing of an output that has an input's address

    def __init__(self, path: Path, trt: Any) -> None:
        """Raises RuntimeError for a plan that this TensorRT or this GPU cannot run."""
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)  # must outlive the engine
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise RuntimeError(f"TensorRT cannot load {path.name}: build it again on this machine")
        self._name = path.stem
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._inputs = {name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        types = torch_types(trt)
        self.types: Mapping[str, torch.dtype] = {name: types[self._engine.get_tensor_dtype(name)] for name in names}
        self._profiles = [self._profile(trt, i) for i in range(self._engine.num_optimization_profiles)]

    def _profile(self, trt: Any, index: int) -> _Profile:
        context = self._engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        stream = torch.cuda.current_stream()
        context.set_optimization_profile_async(index, stream.cuda_stream)
        stream.synchronize()
        shapes = {name: self._engine.get_tensor_profile_shape(name, index) for name in self._inputs}
        spans = {name: (tuple(least), tuple(most)) for name, (least, _, most) in shapes.items()}
        return _Profile(context, spans)

    def run(self, tensors: Mapping[str, torch.Tensor], stream: int) -> None:
        """``stream`` is PyTorch's current one. Raises ValueError for a shape beyond the plan's profile, RuntimeError
        where TensorRT refuses the run."""
        shapes = {name: tuple(tensors[name].shape) for name in self._inputs}
        profile = next((profile for profile in self._profiles if profile.takes(shapes)), None)
        if profile is None:
            raise ValueError(f"{self._name}: inputs of {shapes} are beyond the deployment profile")
        for name, shape in shapes.items():
            profile.context.set_input_shape(name, shape)
        for name, tensor in tensors.items():
            profile.context.set_tensor_address(name, address(tensor))
        lent = lend_memory(profile.context)
        done = profile.context.execute_async_v3(stream)
        del lent  # PyTorch gives it away again, on this stream and so behind this run
        if not done:
            raise RuntimeError(f"TensorRT could not run {self._name}; its log says why")


def lend_memory(context: Any) -> torch.Tensor:
    """For the intermediate results of a run whose input shapes are set. A context with memory of its own would keep
    that of its largest run for ever, each profile of each plan by itself, although runs follow one another."""
    size = context.update_device_memory_size_for_shapes()
    memory = torch.empty(size, dtype=torch.uint8, device="cuda")
    context.set_device_memory(address(memory), size)
    return memory


def torch_types(trt: Any) -> dict[Any, torch.dtype]:
    """TensorRT's types of the tensors that enter and leave our graphs."""
    types = trt.DataType
    return {
        types.FLOAT: torch.float32,
        types.HALF: torch.float16,
        types.BF16: torch.bfloat16,
        types.INT32: torch.int32,
        types.INT64: torch.int64,
        types.BOOL: torch.bool,
    }


def machine_here(gpu: int) -> Machine:
    """This GPU with this TensorRT."""
    major, minor = torch.cuda.get_device_capability(gpu)
    return Machine(str(import_module("tensorrt").__version__), torch.cuda.get_device_name(gpu), f"{major}.{minor}")


class TensorRtRuntime:
    """The plans of one stage of a build, on one GPU; see :class:`stream_omni.runtime.session.Runtime`."""

    finds_best_there = True

    def __init__(self, artifacts: Path, stage: str, gpu: int, chunk_tokens: int) -> None:
        """Raises EngineMismatchError where the build is not for this machine."""
        self.info = ModelInfo.load(artifacts / "assets" / "model.json")
        self._trt = import_module("tensorrt")
        self._plans = find_plans(artifacts, stage, machine_here(gpu))
        self._graphs = graphs(self.info)
        self._memory = TorchMemory(f"cuda:{gpu}", CACHE_TYPES[self._plans.precision])
        self._chunk_tokens = chunk_tokens
        self._sessions: dict[str, Session] = {}

    def session(self, graph: str) -> Session:
        """Raises KeyError for a graph that is not of the stage."""
        if graph not in self._sessions:
            self._sessions[graph] = self._best() if graph == "llm_greedy" else self._load(graph)
        return self._sessions[graph]

    def _load(self, graph: str) -> DeviceSession:
        with self._memory.ordered():  # on its GPU
            program = TensorRtProgram(self._plans.files[graph], self._trt)
        return DeviceSession(program, self._graphs[graph], self._memory, self._chunk_tokens)

    def _best(self) -> TwoBestThere:
        llm = self.session("llm")
        assert isinstance(llm, DeviceSession)
        return TwoBestThere(llm)
