"""Engines are refused where they were not built, or are not what was built, with the command that mends it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from stream_omni_build.engines.engine_manifest import (
    EngineManifest,
    FilePart,
    GraphRecord,
    StageRecord,
    Target,
    is_complete,
)
from stream_omni_build.engines.llm_engine import describe_engine
from stream_omni_build.manifest import digest_file

from stream_omni import tensorrt_llm_engine
from stream_omni.runtime import tensorrt_runtime
from stream_omni.runtime.engine_manifest import (
    EngineMismatchError,
    Machine,
    check_machine,
    check_placed_plans,
    check_tensorrt_llm,
    find_plans,
    settled_precision,
)

HERE = Machine("10.14.1.48", "NVIDIA A100-SXM4-80GB", "8.0")
PLANS = {"flow_encoder": b"first plan", "flow_estimator": b"second plan", "vision_encoder": b"third plan"}


def part(path: Path) -> FilePart:
    return FilePart(path.name, path.stat().st_size, digest_file(path))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A build's directory with a manifest as the build writes it, over real files."""
    folder = tmp_path / "engines"
    folder.mkdir()
    records = {}
    for name, content in PLANS.items():
        path = folder / f"{name}.plan"
        path.write_bytes(content)
        records[name] = GraphRecord(part(path), part(path), part(path), {}, {}, {})
    flow = {name: records[name] for name in ("flow_encoder", "flow_estimator")}
    stages = {
        "cosyvoice_flow": StageRecord("key", 0, "fp16", "fp32", [], flow),
        "vision_encoder": StageRecord("key", 0, "fp16", "fp16", [], {"vision_encoder": records["vision_encoder"]}),
    }
    target = Target(HERE.tensorrt, "tensorrt", HERE.gpu, HERE.compute_capability)
    EngineManifest(target, {"name": "gpu-1"}, stages).save(tmp_path)
    placed = tmp_path / "model_repository" / "vision_encoder" / "1" / "model.plan"
    placed.parent.mkdir(parents=True)
    placed.write_bytes(PLANS["vision_encoder"])
    return tmp_path


def test_plans_of_this_machine_are_found_in_the_precision_that_they_ended_up_in(out: Path) -> None:
    found = find_plans(out, "cosyvoice_flow", HERE)
    assert found.precision == settled_precision(out, "cosyvoice_flow") == "fp32"
    assert {name: path.read_bytes() for name, path in found.files.items()} == {
        name: PLANS[name] for name in ("flow_encoder", "flow_estimator")
    }
    check_placed_plans(out)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"tensorrt": "10.13.3.9"}, "TensorRT 10.13.3.9"),
        ({"gpu": "NVIDIA H100 80GB HBM3", "compute_capability": "9.0"}, "H100 80GB HBM3 (compute capability 9.0)"),
        ({"compute_capability": "8.6"}, "compute capability 8.6"),
    ],
)
def test_another_machine_is_refused(out: Path, changed: dict[str, str], named: str) -> None:
    there = dataclasses.replace(HERE, **changed)
    for check in (lambda: find_plans(out, "cosyvoice_flow", there), lambda: check_machine(out, there)):
        with pytest.raises(EngineMismatchError) as refusal:
            check()
        message = str(refusal.value)
        assert named in message and HERE.gpu in message
        assert message.endswith(f"--target gpu-1 --out {out}")


def test_tensorrt_llms_engine_is_held_to_its_digest(tmp_path: Path) -> None:
    """As a build writes it down: the engine, what describes it, and the table that prompts are made of."""
    folder = tmp_path / "engines" / "llm"
    folder.mkdir(parents=True)
    for name in ("config.json", "embed_tokens.npy", "rank0.engine"):
        (folder / name).write_text(name)
    record = StageRecord("key", 0, "int8", "int8", [], {"llm": describe_engine(folder, 12.34)}, "1.2.1")
    EngineManifest(Target(HERE.tensorrt, "tensorrt", HERE.gpu, HERE.compute_capability), {}, {"llm": record}).save(
        tmp_path
    )
    assert is_complete(tmp_path, record) and record.graphs["llm"].seconds == {"compile": 12.3}
    assert find_plans(tmp_path, "llm", HERE).files == {"llm": folder / "rank0.engine"}
    (folder / "rank0.engine").write_text("rank0!engine")
    assert "rank0.engine is not the file that was built" in damaged(tmp_path, lambda: find_plans(tmp_path, "llm", HERE))
    (folder / "rank0.engine").unlink()
    assert not is_complete(tmp_path, record)


def test_tensorrt_llms_engine_is_of_one_version_of_it(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever TensorRT is in it: asked before any of it is imported."""
    path = out / "engines" / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["stages"]["llm"] = content["stages"]["vision_encoder"] | {"tensorrt_llm": "1.2.1"}
    path.write_text(json.dumps(content), encoding="utf-8")
    check_tensorrt_llm(out, "llm", "1.2.1")
    monkeypatch.setattr(tensorrt_runtime, "machine_here", lambda gpu: HERE)
    monkeypatch.setattr(tensorrt_llm_engine, "version_here", lambda: "1.3.0")
    served = lambda: tensorrt_llm_engine.TensorRtLlmEngine.served(out, None, 2, 0, "bf16")  # type: ignore[arg-type]  # noqa: E731
    assert "the engine of llm is for TensorRT-LLM 1.2.1, and this is 1.3.0" in damaged(out, served)
    del content["stages"]["llm"]["tensorrt_llm"]  # as it was written before
    path.write_text(json.dumps(content), encoding="utf-8")
    assert "is for TensorRT-LLM an unknown version" in damaged(out, served)


def damaged(out: Path, how: Any) -> str:
    with pytest.raises(EngineMismatchError, match="build them on this machine with: stream-omni build") as refusal:
        how()
    return str(refusal.value)


def test_a_plan_that_is_not_the_built_one_is_refused(out: Path) -> None:
    find = lambda: find_plans(out, "cosyvoice_flow", HERE)  # noqa: E731
    plan = out / "engines" / "flow_estimator.plan"
    plan.write_bytes(b"other! plan")
    assert "its digest differs" in damaged(out, find)
    plan.write_bytes(b"cut")
    assert "has 3 bytes instead of 11" in damaged(out, find)
    plan.unlink()
    assert "flow_estimator.plan is missing" in damaged(out, find)


def test_a_plan_that_triton_runs_by_itself_is_held_to_the_manifest(out: Path, tmp_path_factory: Any) -> None:
    (out / "model_repository" / "vision_encoder" / "1" / "model.plan").write_bytes(b"wrong plan")
    assert "model.plan" in damaged(out, lambda: check_placed_plans(out))
    check_placed_plans(tmp_path_factory.mktemp("of a CPU"))  # which has none


def test_a_missing_or_foreign_manifest_is_refused(out: Path) -> None:
    find = lambda: find_plans(out, "cosyvoice_flow", HERE)  # noqa: E731
    assert "there are no engines of vocoder" in damaged(out, lambda: find_plans(out, "vocoder", HERE))
    path = out / "engines" / "manifest.json"
    path.write_text(json.dumps({"version": 0, "target": {}, "stages": {}}))
    assert "has the form 0, not 1" in damaged(out, find)
    path.write_text("{")
    assert "manifest.json cannot be read" in damaged(out, find)
    path.unlink()
    assert "no engines have been built here" in damaged(out, find)
