"""When TensorRT-LLM's engine is built again: its key follows from what trtllm-build is asked for, and from its version.
What builds it is replaced by what writes its files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from stream_omni_build.deployment import read_deployment
from stream_omni_build.engines import llm_engine, workshop
from stream_omni_build.engines.engine_manifest import EngineManifest, Target
from stream_omni_build.engines.llm_engine import CONFIG, PLAN, make_llm_engine
from stream_omni_build.engines.workshop import Workshop
from stream_omni_build.progress import silent
from stream_omni_build.published_sizes import published_info

from stream_omni.tensorrt_llm_engine import TABLE

GPU = Target("10.14.1.48", "tensorrt", "NVIDIA Something", "9.0")


def version_is(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (llm_engine, workshop):
        monkeypatch.setattr(module, "version_here", lambda: version)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """With the LLM's engine of TensorRT-LLM 1.2.1."""

    def build_engine(backbone: Path, deployment: object, scratch: Path, out: Path) -> None:
        for name in (CONFIG, PLAN):
            (out / name).write_text(name, encoding="utf-8")

    version_is("1.2.1", monkeypatch)
    monkeypatch.setattr(llm_engine, "write_backbone", lambda info, tensors, out, progress: out.mkdir())
    monkeypatch.setattr(llm_engine, "build_engine", build_engine)
    monkeypatch.setattr(llm_engine, "write_table", lambda tensors, out: (out / TABLE).touch())
    shop = Workshop(published_info(), {"model": None}, read_deployment("gpu-1"), {"code": "1"}, tmp_path, silent())  # type: ignore[dict-item]
    make_llm_engine(shop, GPU)
    return shop


def is_made(shop: Workshop, stage: dict[str, Any] | None = None, **limits: int) -> bool:
    deployment = dataclasses.replace(shop.deployment, **limits)
    changed = dataclasses.replace(shop, deployment=deployment)
    return changed.is_made(dataclasses.replace(deployment.stages["llm"], **(stage or {})), GPU)


@pytest.mark.parametrize("limits", [{"answer_positions": 4090}, {"prompt_positions": 8190}, {"turns": 15}], ids=str)
def test_what_trtllm_build_is_asked_for_builds_it_again(made: Workshop, limits: dict[str, int]) -> None:
    """Also where the caches of our own graphs, which are multiples of 128, would be as long."""
    assert is_made(made)
    assert not is_made(made, **limits)
    assert not is_made(made, {"precision": "int8"})
    assert not is_made(made, {"engine": "tensorrt"})


def test_what_it_has_no_use_for_does_not(made: Workshop) -> None:
    """Its prompts are not read in pieces."""
    assert is_made(made, prefill_positions=1024)
    assert is_made(made, {"gpu": 1})


def test_another_tensorrt_llm_builds_it_again(made: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = EngineManifest.load(made.out)
    assert manifest is not None and manifest.stages["llm"].tensorrt_llm == "1.2.1"
    version_is("1.3.0", monkeypatch)
    assert not is_made(made)


def test_our_own_engines_follow_from_the_shapes_of_their_graphs(made: Workshop) -> None:
    stage = made.deployment.stages["speech_top"]

    def key(**limits: int) -> str:
        changed = dataclasses.replace(made, deployment=dataclasses.replace(made.deployment, **limits))
        return changed.stage_key(stage, GPU)

    assert key(answer_positions=4090) == key()
    assert key(prefill_positions=1024) != key()
