"""Every graph is compiled by a real TensorRT compiler for the shipped profiles. Nothing is run: that needs a GPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper
from stream_omni_build.deployment import Deployment, read_deployment
from stream_omni_build.engines import tensorrt_api
from stream_omni_build.engines.compile_plan import CompileError, compile_plan
from stream_omni_build.engines.engine_graph import write_engine_graph
from stream_omni_build.engines.precision import lower
from stream_omni_build.engines.quantize import quantize
from stream_omni_build.engines.shapes import Profile, Shapes, profiles
from stream_omni_build.engines.stored_weights import Stored, attach, write
from stream_omni_build.engines.tensorrt_api import NoTensorRtError
from stream_omni_build.gpu_memory import LEAST_WORKSPACE_BYTES
from stream_omni_build.progress import silent

from stream_omni.graphs import graphs
from stream_omni.weights import weight
from tests.build.engines.tiny import Tiny, build_for_a_gpu_that_is_not_there

PROFILES = ["gpu-1", "gpu-1-24g", "gpu-2"]


CASES = [
    (profile, stage.name, graph)
    for profile in PROFILES
    for stage in read_deployment(profile).stages.values()
    for graph in stage.graphs
]


def compiled(trt: Any, graph: Path, shapes: list[Profile], plan: Path) -> bytes:
    config = build_for_a_gpu_that_is_not_there(trt)
    compile_plan(trt, graph, shapes, plan, LEAST_WORKSPACE_BYTES, lambda line: None, config)
    return plan.read_bytes()


@pytest.mark.parametrize(("profile", "stage", "graph"), CASES)
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


@pytest.mark.parametrize("codes", ["int8", "fp8"])
def test_weights_of_8_bits_stay_so_in_the_plan(codes: str, trt: Any, tmp_path: Path) -> None:
    """A compiler may fold DequantizeLinear into weights of 16 bits, and a small GPU would not hold them."""
    sizes = {}
    for precision in ("bf16", codes):
        path = product(tmp_path, precision)
        sizes[precision] = len(compiled(trt, path, [Profile("rows", {"x": ROWS})], tmp_path / f"{precision}.plan"))
    assert sizes["bf16"] > 2 * WIDTH * WIDTH
    assert sizes[codes] < 1.1 * WIDTH * WIDTH


WIDTH = 2048
ROWS = Shapes((1, WIDTH), (1, WIDTH), (64, WIDTH))


def product(folder: Path, precision: str) -> Path:
    """x @ w, through what every graph goes through."""
    shapes = {"x": ["T", WIDTH], "w": [WIDTH, WIDTH], "y": ["T", WIDTH]}
    x, w, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], name="product")], "product", [x, w], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10  # onnx's newest is ahead of the parser's
    weights = {"w": weight("w", WIDTH, WIDTH)}
    found = lower(model, "bf16", ["w"], [])
    stored = (
        [Stored("w", weights["w"], (WIDTH, WIDTH), "bf16")]
        if precision == "bf16"
        else quantize(model, precision, weights, found)
    )
    attach(model, stored, f"{precision}.weights")
    write(folder / f"{precision}.weights", stored, Noise(), lambda count: None)
    onnx.save(model, folder / f"{precision}.onnx")
    return folder / f"{precision}.onnx"


class Noise:
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (WIDTH, WIDTH)}

    def get(self, name: str) -> NDArray[np.float32]:
        return np.random.default_rng(0).standard_normal((WIDTH, WIDTH), np.float32)


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
