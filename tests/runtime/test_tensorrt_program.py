"""How a plan is run: the profile is chosen by shapes, memory is lent for a run, tensors are bound at their addresses.
TensorRT is one that has its names and its demands, and CUDA is the processor's memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stream_omni_build.deployment import Deployment, read_deployment
from stream_omni_build.engines.shapes import Shapes, profiles

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.runtime import tensorrt_runtime
from stream_omni.runtime.tensorrt_runtime import TensorRtProgram
from stream_omni.runtime.torch_memory import address
from tests.runtime.fake_tensorrt import DataType, ICudaEngine, bindings, unknown_names

STEP, PROMPT = 0, 1
LEAST, MOST = 0, 2  # of a profile's shapes


class _OnTheProcessor:
    """PyTorch, whose device "cuda" is the processor; ``lent`` has the memory that was made there."""

    def __init__(self) -> None:
        self.lent: list[torch.Tensor] = []
        stream = SimpleNamespace(cuda_stream=5, synchronize=lambda: None)
        self.cuda = SimpleNamespace(current_stream=lambda: stream)

    def empty(self, size: int, dtype: torch.dtype, device: str) -> torch.Tensor:
        assert device == "cuda"
        self.lent.append(torch.empty(size, dtype=dtype))
        return self.lent[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> _OnTheProcessor:
    made = _OnTheProcessor()
    monkeypatch.setattr(tensorrt_runtime, "torch", made)
    return made


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return read_deployment("gpu-1")


@pytest.fixture
def spans(voice_info: ModelInfo, deployment: Deployment) -> list[dict[str, Shapes]]:
    """The two profiles of a loop's graph, as a build asks TensorRT for them."""
    return [dict(profile.inputs) for profile in profiles(graphs(voice_info)["llm"], voice_info, deployment)]


@pytest.fixture
def engine(spans: list[dict[str, Shapes]]) -> ICudaEngine:
    types = {name: DataType.BF16 if "_" in name else DataType.INT64 for name in spans[STEP]}
    return ICudaEngine(types | {"logits": DataType.FLOAT}, list(spans))


@pytest.fixture
def program(engine: ICudaEngine, tmp_path: Path, processor: _OnTheProcessor) -> TensorRtProgram:
    plan = tmp_path / "llm.plan"
    plan.write_bytes(b"a plan")
    return TensorRtProgram(plan, bindings(engine))


def tensors(program: TensorRtProgram, shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Of no content: views of one value, since nothing is computed."""
    made = {n: torch.zeros((), dtype=program.types[n]).expand(shape) for n, shape in shapes.items()}
    return made | {"logits": torch.zeros(1)}


def test_what_stands_in_for_tensorrt_has_only_its_names(engine: ICudaEngine) -> None:
    assert unknown_names(bindings(engine)) == {"10.14.1": [], "11.4.0": [], "rtx-1.7.1": []}
    wrong = SimpleNamespace(Builder=type("Builder", (), {"platform_has_fast_fp16": True}))
    assert unknown_names(wrong)["11.4.0"] == ["Builder.platform_has_fast_fp16"]


def test_types_are_those_of_the_plan(program: TensorRtProgram) -> None:
    assert program.types["logits"] == torch.float32 and program.types["ids"] == torch.int64
    assert program.types["keys_0"] == torch.bfloat16


@pytest.mark.parametrize("which", [LEAST, MOST])
@pytest.mark.parametrize("profile", [STEP, PROMPT])
def test_the_profile_is_the_one_that_takes_the_shapes(
    profile: int, which: int, program: TensorRtProgram, engine: ICudaEngine, spans: list[dict[str, Shapes]]
) -> None:
    shapes = {name: span[which] for name, span in spans[profile].items()}
    program.run(tensors(program, shapes), stream=5)
    ((used, found, _),) = engine._runs
    assert (used, found) == (profile, shapes)


def test_of_two_that_take_them_it_is_the_first(
    spans: list[dict[str, Shapes]], tmp_path: Path, processor: _OnTheProcessor
) -> None:
    engine = ICudaEngine(dict.fromkeys(spans[STEP], DataType.INT64), [spans[PROMPT], spans[STEP], spans[STEP]])
    (tmp_path / "x.plan").touch()
    program = TensorRtProgram(tmp_path / "x.plan", bindings(engine))
    made = tensors(program, {name: span[LEAST] for name, span in spans[STEP].items()})
    program.run({name: made[name] for name in spans[STEP]}, stream=5)
    assert [run[0] for run in engine._runs] == [1]


@pytest.mark.parametrize(
    ("row", "change"),
    [(STEP, {"B": 17}), (STEP, {"T": 2}), (PROMPT, {"T": 4096}), (PROMPT, {"S": 12416}), (STEP, {"S": 64})],
    ids=str,
)
def test_shapes_beyond_all_profiles_are_refused_before_anything_runs(
    row: int, change: dict[str, int], program: TensorRtProgram, engine: ICudaEngine, voice_info: ModelInfo
) -> None:
    """More rows than turns, a piece of several rows, a prompt too long, caches too long and too short."""
    sizes = ({"B": 16, "T": 1, "S": 128, "R": 16} if row == STEP else {"B": 1, "T": 512, "S": 128, "R": 0}) | change
    graph, llama = graphs(voice_info)["llm"], voice_info.llama
    shapes = {t.name: tuple(sizes[a] if isinstance(a, str) else a for a in t.axes) for t in graph.inputs}
    cache = (sizes["B"], llama.kv_heads, sizes["S"], llama.head_size)
    shapes |= dict.fromkeys(graph.cache_names(), cache)
    with pytest.raises(ValueError, match=r"llm: inputs of .* are beyond the deployment profile"):
        program.run(tensors(program, shapes), stream=5)
    assert not engine._runs


def test_memory_is_lent_for_the_shapes_of_a_run(
    program: TensorRtProgram, engine: ICudaEngine, processor: _OnTheProcessor, spans: list[dict[str, Shapes]]
) -> None:
    """The stand-in refuses to run with memory of another run's shapes."""
    for which in (LEAST, MOST, LEAST):
        program.run(tensors(program, {name: span[which] for name, span in spans[STEP].items()}), stream=5)
    small, large, again = (memory.numel() for memory in processor.lent)
    assert small == again < large
    assert len(engine._runs) == 3


def test_every_tensor_is_bound_where_it_lies_and_an_empty_one_somewhere(
    program: TensorRtProgram, engine: ICudaEngine, spans: list[dict[str, Shapes]]
) -> None:
    made = tensors(program, {name: span[LEAST] for name, span in spans[PROMPT].items()})  # no logits are asked for
    empty = [name for name, tensor in made.items() if not tensor.numel()]
    assert empty
    program.run(made, stream=5)
    assert engine._runs[0][2] == {name: address(tensor) for name, tensor in made.items()}


def test_a_run_that_tensorrt_refuses_is_an_error(
    program: TensorRtProgram, engine: ICudaEngine, spans: list[dict[str, Shapes]]
) -> None:
    engine._is_broken = True
    with pytest.raises(RuntimeError, match="TensorRT could not run llm; its log says why"):
        program.run(tensors(program, {name: span[LEAST] for name, span in spans[STEP].items()}), stream=5)


def test_a_plan_that_tensorrt_does_not_load_is_named(tmp_path: Path, processor: _OnTheProcessor) -> None:
    (tmp_path / "llm.plan").touch()
    with pytest.raises(RuntimeError, match=r"TensorRT cannot load llm\.plan: build it again on this machine"):
        TensorRtProgram(tmp_path / "llm.plan", bindings(None))
