"""TensorRT's bindings as far as a plan that runs needs them, without a GPU: all that stands here has a name that every
recorded release has (fixtures/tensorrt_api), and what they demand of the order of calls is demanded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

RELEASES = Path(__file__).parents[1] / "fixtures" / "tensorrt_api"
Shapes = Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]  # input: least, best, most


class TensorIOMode(Enum):
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(Enum):
    STATIC = 0
    USER_MANAGED = 3


DataType = Enum("DataType", ("FLOAT", "HALF", "BF16", "INT32", "INT64", "BOOL"))


class Logger:
    WARNING = 2

    def __init__(self, severity: int) -> None: ...


class IExecutionContext:
    """``_runs``: of each run its profile and the shapes of inputs. ``_bytes_per_value``: of memory that a run needs."""

    _bytes_per_value = 4

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine, self._profile = engine, -1
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._lent = (0, -1)

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self._profile = index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self._engine._profiles[self._profile][name]
        if not all(a <= size <= b for a, size, b in zip(least, shape, most, strict=True)):
            return False
        self._shapes[name], self._lent = shape, (0, -1)
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address, "the null pointer is refused"
        self._addresses[name] = address
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        assert self._shapes.keys() == set(self._engine._inputs())
        return self._bytes_per_value * sum(map(prod, self._shapes.values()))

    def set_device_memory(self, memory: int, size: int) -> None:
        self._lent = (memory, size)

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert self._addresses.keys() == set(self._engine._types)
        memory, size = self._lent
        assert memory and size == self.update_device_memory_size_for_shapes(), "no memory for these shapes"
        self._engine._runs.append((self._profile, dict(self._shapes), dict(self._addresses)))
        return not self._engine._is_broken


class ICudaEngine:
    """Of a plan whose tensors have ``types``; those that the ``profiles`` name are its inputs."""

    def __init__(self, types: Mapping[str, DataType], profiles: list[Shapes]) -> None:
        self._types, self._profiles = types, profiles
        self._runs: list[tuple[int, dict[str, tuple[int, ...]], dict[str, int]]] = []
        self._is_broken = False

    def _inputs(self) -> list[str]:
        return list(self._profiles[0])

    @property
    def num_io_tensors(self) -> int:
        return len(self._types)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self._types)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs() else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._types[name]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[list[int]]:
        return [list(shape) for shape in self._profiles[profile_index][name]]

    def create_execution_context(self, strategy: ExecutionContextAllocationStrategy) -> IExecutionContext:
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        return IExecutionContext(self)


def bindings(engine: ICudaEngine | None) -> Any:
    """The module, whose runtime loads every plan as ``engine``; None: as TensorRT does with one of another GPU."""

    class Runtime:
        def __init__(self, logger: Logger) -> None: ...

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            return engine

    kinds = (
        TensorIOMode,
        ExecutionContextAllocationStrategy,
        DataType,
        Logger,
        IExecutionContext,
        ICudaEngine,
        Runtime,
    )
    return SimpleNamespace(**{kind.__name__: kind for kind in kinds})


def unknown_names(trt: Any) -> dict[str, list[str]]:
    """By release: what stands in ``trt`` and is not in its list."""
    found = {}
    for path in sorted(RELEASES.glob("*.json")):
        classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
        names = [(kind, name) for kind, made in vars(trt).items() for name in vars(made) if not name.startswith("_")]
        found[path.stem] = [f"{kind}.{name}" for kind, name in names if name not in classes.get(kind, ())]
    return found
