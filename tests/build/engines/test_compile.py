"""Every graph is compiled by a real TensorRT compiler for the shipped profiles. Nothing is run: that needs a GPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper
from stream_omni_build.deployment import Deployment, read_deployment
from stream_omni_build.engines import tensorrt_api
from stream_omni_build.engines.compile_plan import CompileError, compile_plan
from stream_omni_build.engines.engine_graph import write_engine_graph
from stream_omni_build.engines.shapes import Profile, Shapes, profiles
from stream_omni_build.engines.tensorrt_api import NoTensorRtError
from stream_omni_build.progress import silent

from stream_omni.graphs import graphs
from tests.build.engines.tiny import Tiny, build_for_a_gpu_that_is_not_there

NAMES = ["gpu-1", "gpu-1-24g", "gpu-2"]
BUILT = [
    (name, stage.name, graph)
    for name in NAMES
    for stage in read_deployment(name).stages.values()
    for graph in stage.graphs
]


def compiled(trt: Any, graph: Path, shapes: list[Profile], plan: Path) -> bytes:
    compile_plan(trt, graph, shapes, plan, lambda line: None, build_for_a_gpu_that_is_not_there(trt))
    return plan.read_bytes()


@pytest.mark.parametrize(("profile", "stage", "graph"), BUILT)
def test_every_graph_compiles_for_every_profile(
    profile: str, stage: str, graph: str, tiny: Tiny, trt: Any, tmp_path: Path
) -> None:
    """The LLM's own graph too, which TensorRT-LLM stands in for: it is the other way behind the same contract."""
    deployment = read_deployment(profile)
    precision = deployment.stages[stage].precision
    described = graphs(tiny.info)[graph]
    path = write_engine_graph(described, tiny.info, precision, tiny.sources, tmp_path, silent())
    plan = compiled(trt, path, profiles(described, tiny.info, deployment), tmp_path / f"{graph}.plan")
    assert len(plan) > 10_000
    assert not (tmp_path / f"{graph}.partial").exists()


def test_fp8_weights_compile(tiny: Tiny, deployment: Deployment, trt: Any, tmp_path: Path) -> None:
    llm = graphs(tiny.info)["llm"]
    path = write_engine_graph(llm, tiny.info, "fp8", tiny.sources, tmp_path, silent())
    assert compiled(trt, path, profiles(llm, tiny.info, deployment), tmp_path / "llm.plan")


@pytest.fixture
def vocoder(tiny: Tiny, deployment: Deployment, tmp_path: Path) -> tuple[Path, list[Profile]]:
    graph = graphs(tiny.info)["vocoder"]
    path = write_engine_graph(graph, tiny.info, "fp32", tiny.sources, tmp_path, silent())
    return path, profiles(graph, tiny.info, deployment)


def test_a_profile_that_contradicts_the_graph_is_refused(
    vocoder: tuple[Path, list[Profile]], trt: Any, tmp_path: Path
) -> None:
    """81 mel channels where the graph has 80."""
    path, (profile,) = vocoder
    wrong = {
        name: Shapes(*((shape[0], shape[1] + 1, *shape[2:]) for shape in shapes)) if name == "mel" else shapes
        for name, shapes in profile.inputs.items()
    }
    with pytest.raises(CompileError, match="vocoder"):
        compiled(trt, path, [dataclasses.replace(profile, inputs=wrong)], tmp_path / "vocoder.plan")
    assert not (tmp_path / "vocoder.plan").exists()


def test_a_profile_that_shrinks_is_refused(vocoder: tuple[Path, list[Profile]], trt: Any, tmp_path: Path) -> None:
    path, (profile,) = vocoder
    wrong = {name: Shapes(most, best, least) for name, (least, best, most) in profile.inputs.items()}
    with pytest.raises(CompileError, match="vocoder"):
        compiled(trt, path, [dataclasses.replace(profile, inputs=wrong)], tmp_path / "vocoder.plan")


def test_a_profile_without_an_input_is_refused(vocoder: tuple[Path, list[Profile]], trt: Any, tmp_path: Path) -> None:
    path, (profile,) = vocoder
    mel = {"mel": profile.inputs["mel"]}
    with pytest.raises(CompileError, match="profile pieces says nothing of source"):
        compiled(trt, path, [dataclasses.replace(profile, inputs=mel)], tmp_path / "vocoder.plan")


def test_a_graph_that_does_not_parse_is_named(trt: Any, tmp_path: Path) -> None:
    """DFT, which is why the vocoder's Fourier transforms are convolutions."""
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 16, 1])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 16, 2])
    graph = helper.make_graph([helper.make_node("DFT", ["x"], ["y"], axis=1)], "dft", [value], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "dft.onnx")
    with pytest.raises(CompileError, match=r"dft\.onnx does not parse: .*DFT"):
        compiled(trt, tmp_path / "dft.onnx", [], tmp_path / "dft.plan")


def test_missing_bindings_say_where_they_are() -> None:
    with pytest.raises(NoTensorRtError, match="TensorRT is missing"):
        tensorrt_api.load(("no_such_bindings",))
