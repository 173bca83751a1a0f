"""Engines against what was recorded, and what happens to a stage that is wrong. The engines here are their own graphs,
run on the CPU with the rounding of their precision (see emulation)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from stream_omni_build.engines.compile_plan import CompileError
from stream_omni_build.engines.emulation import EmulatedRunner
from stream_omni_build.engines.precision import lower
from stream_omni_build.engines.recording import Call, Values
from stream_omni_build.engines.stored_weights import RangeError
from stream_omni_build.engines.verify import Check, Off, VerifyError, check_engine, settle


def squares(folder: Path, precision: str) -> Path:
    """A graph that overflows in fp16 and in nothing else: x @ (300 * identity) @ (300 * identity) / 90,000, with x
    around one. 90,000 is beyond 65,504."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["once"], name="once"),
        helper.make_node("MatMul", ["once", "w"], ["twice"], name="twice"),
        helper.make_node("Mul", ["twice", "share"], ["y"], name="back"),
    ]
    x, w, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in "xwy")
    share = numpy_helper.from_array(np.array(1 / 90_000, np.float32), "share")
    constant = helper.make_node("Constant", [], ["share"], value=share)
    model = helper.make_model(
        helper.make_graph([constant, *nodes], "squares", [x, w], [y]), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 10  # onnx's newest is ahead of ONNX Runtime's
    lower(model, precision, ["w"], [])
    kept = numpy_helper.from_array(300 * np.eye(4, dtype=np.float32), "w")
    model.graph.input.remove(next(value for value in model.graph.input if value.name == "w"))
    if precision != "fp32":
        element = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16
        kept = helper.make_tensor("w", element, [4, 4], (300 * np.eye(4)).ravel())
    model.graph.initializer.append(kept)
    onnx.checker.check_model(model)
    path = folder / f"squares.{precision}.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> list[Call]:
    session = ort.InferenceSession(str(squares(tmp_path, "fp32")), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).uniform(0.9, 1.1, (4, 4)).astype(np.float32)
    return [Call({"x": x}, {"y": session.run(None, {"x": x})[0]})]


def attempt_with(folder: Path, recorded: list[Call], tried: list[str]):
    def attempt(precision: str) -> dict[str, Check]:
        tried.append(precision)
        return {"squares": check_engine("squares", precision, EmulatedRunner(squares(folder, precision)), recorded)}

    return attempt


def test_an_overflow_in_fp16_is_found_and_the_stage_falls_back(tmp_path: Path, recorded: list[Call]) -> None:
    said: list[str] = []
    tried: list[str] = []
    settled = settle("squares", "fp16", attempt_with(tmp_path, recorded, tried), said.append)
    assert tried == ["fp16", "bf16"]
    assert settled.precision == "bf16"
    (refused,) = settled.refused
    assert (refused.precision, refused.why) == ("fp16", "squares: y has 16 numbers that are not finite")
    assert said == ["  squares is not built in fp16: squares: y has 16 numbers that are not finite"]
    assert 0 < settled.checks["squares"].errors["y"] < 0.02


def test_fp32_is_not_rounded(tmp_path: Path, recorded: list[Call]) -> None:
    check = check_engine("squares", "fp32", EmulatedRunner(squares(tmp_path, "fp32")), recorded)
    assert check.passed
    assert check.errors["y"] < 1e-6


def test_weights_that_do_not_fit_lead_to_the_next_precision() -> None:
    def attempt(precision: str) -> dict[str, Check]:
        if precision == "fp16":
            raise RangeError("m reach 7e+04; fp16 holds at most 65504")
        return {"g": Check()}

    settled = settle("s", "fp16", attempt, lambda line: None)
    assert settled.precision == "bf16"
    assert settled.refused[0].why.startswith("m reach")


def test_kernels_that_the_gpu_lacks_lead_to_the_next_precision() -> None:
    def attempt(precision: str) -> dict[str, Check]:
        if precision == "fp8":
            raise CompileError("no kernels")
        return {"g": Check()}

    assert settle("s", "fp8", attempt, lambda line: None).precision == "bf16"


def test_what_fp32_cannot_compile_is_an_error() -> None:
    def attempt(precision: str) -> dict[str, Check]:
        raise CompileError(f"not in {precision}")

    with pytest.raises(CompileError, match="not in fp32"):
        settle("s", "bf16", attempt, lambda line: None)


def test_a_stage_that_is_wrong_in_fp32_is_an_error() -> None:
    with pytest.raises(VerifyError, match=r"s is wrong in every precision that was tried: off"):
        settle("s", "bf16", lambda precision: {"g": Check({}, ("off",))}, lambda line: None)


class Fixed:
    def __init__(self, outputs: Values) -> None:
        self.outputs = outputs

    def run(self, inputs: Values) -> Values:
        return self.outputs


EXPECTED = {"logits": np.array([[1.0, 2.0]], np.float32), "ctc_ids": np.array([[3, 4], [5, 6]], np.int64)}


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({}, None),
        ({"logits": np.array([[1.0, 2.01]], np.float32)}, None),
        (
            {"logits": np.array([[1.0, 2.5]], np.float32)},
            "g: logits is off in one call by 0.22, 0.06 is allowed",
        ),
        ({"logits": np.array([[1.0, np.nan]], np.float32)}, "g: logits has 1 numbers that are not finite"),
        (
            {"logits": np.array([1.0, 2.0], np.float32)},
            "g: logits is off in one call by inf, 0.06 is allowed",
        ),
        ({"ctc_ids": np.array([[3, 9], [5, 9]], np.int64)}, None),  # the second best label decides nothing
        ({"ctc_ids": np.array([[9, 4], [5, 6]], np.int64)}, "g: ctc_ids is off by 0.5, 0.02 is allowed"),
    ],
)
def test_an_output_beyond_its_tolerance_is_a_fault(found: Values, fault: str | None) -> None:
    check = check_engine("g", "bf16", Fixed(EXPECTED | found), [Call({}, EXPECTED)])
    assert check.faults == (() if fault is None else (fault,))


def test_a_stack_is_held_to_what_a_plain_pass_loses() -> None:
    """2.5 times that in all calls, 4 times in the worst one; 0.01 where it loses next to nothing."""
    off = Fixed(EXPECTED | {"logits": np.array([[1.0, 2.06]], np.float32)})  # by 0.0268
    call = Call({}, EXPECTED)
    right = Call({}, off.outputs)  # which has no error
    assert check_engine("llm", "bf16", off, [call], {"logits": Off(0.011, 0.011)}).passed
    assert check_engine("llm", "bf16", off, [call], {"logits": Off(0.01, 0.01)}).faults == (
        "llm: logits is off by 0.027, 0.025 is allowed",
    )
    many = [call, *[right] * 20]
    assert check_engine("llm", "bf16", off, many, {"logits": Off(0.003, 0.007)}).passed
    assert check_engine("llm", "bf16", off, many, {"logits": Off(0.003, 0.006)}).faults == (
        "llm: logits is off in one call by 0.027, 0.024 is allowed",
    )
    near = Fixed(EXPECTED | {"logits": np.array([[1.0, 2.02]], np.float32)})  # by 0.0089
    assert check_engine("llm", "bf16", near, [call], {"logits": Off(0.0001, 0.0001)}).passed


def test_labels_are_counted_in_all_calls() -> None:
    flipped = Fixed(EXPECTED | {"ctc_ids": np.array([[9, 4], [5, 6]], np.int64)})
    calls = [Call({}, EXPECTED), *[Call({}, flipped.outputs)] * 4]  # 1 of 10 differs, and half of the first call
    assert check_engine("speech_bottom", "bf16", flipped, calls, {"ctc_ids": Off(0.04, 0.5)}).passed
    assert not check_engine("speech_bottom", "bf16", flipped, calls, {"ctc_ids": Off(0.03, 0.5)}).passed
    assert not check_engine("speech_bottom", "bf16", flipped, calls[:1], {"ctc_ids": Off(0.5, 0.5)}).passed


def test_outputs_of_another_shape_are_beyond_every_measure() -> None:
    wrong = Fixed(EXPECTED | {"logits": np.zeros((2, 2), np.float32)})
    check = check_engine("llm", "bf16", wrong, [Call({}, EXPECTED)], {"logits": Off(1e9, 1e9)})
    assert not check.passed and check.errors["logits"] == float("inf")
