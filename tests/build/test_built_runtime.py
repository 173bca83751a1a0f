"""What precision a build is held to: that which its engines ended up in, and not what its profile asked for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from stream_omni_build.built_runtime import BuiltRuntime
from stream_omni_build.deployment import GRAPHS_OF, read_deployment
from stream_omni_build.engines.engine_manifest import EngineManifest, StageRecord, Target
from stream_omni_build.engines.verify import MOST
from stream_omni_build.gpu_repository import render_deployment
from stream_omni_build.replay_command import main as replay

from stream_omni.model_info import ModelInfo
from stream_omni.runtime.engine_manifest import EngineMismatchError

TARGET = Target("10.14.1.48", "tensorrt", "NVIDIA Something", "9.0")
ASKED = {stage: "fp16" for stage in GRAPHS_OF if stage != "speech_tokenizer"}


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    """A repository of gpu-1, whose profile asks for fp16, bf16 and fp32."""
    info = ModelInfo.load(built / "assets" / "model.json")
    shutil.copytree(built / "assets", tmp_path / "assets")
    (tmp_path / "graphs").mkdir()
    render_deployment(read_deployment("gpu-1"), info, ["one"], tmp_path)
    return tmp_path


def settle(out: Path, precisions: Mapping[str, str]) -> None:
    """Write down what the engines of stages ended up in."""
    records = {stage: StageRecord("key", 0, ASKED[stage], found, [], {}) for stage, found in precisions.items()}
    EngineManifest(TARGET, {"name": "gpu-1"}, records).save(out)


@pytest.mark.parametrize(
    ("changed", "lowest"),
    [
        ({}, "fp16"),
        ({"speech_top": "bf16"}, "bf16"),  # fp16 did not hold
        ({"vision_encoder": "bf16"}, "bf16"),  # whose plan Triton runs by itself
        ({"llm": "int8", "speech_top": "bf16"}, "int8"),
        ({"llm": "int8", "speech_top": "fp8"}, "fp8"),
    ],
)
def test_the_lowest_precision_is_of_what_was_built(out: Path, changed: dict[str, str], lowest: str) -> None:
    settle(out, ASKED | changed)
    assert BuiltRuntime(out).precision == lowest


def test_a_stage_that_fell_back_to_fp32_loses_nothing(out: Path) -> None:
    settle(out, dict.fromkeys(ASKED, "fp32"))
    assert BuiltRuntime(out).precision == "fp32"


def test_losses_are_ordered_as_what_may_be_lost(out: Path) -> None:
    by_loss = sorted(MOST, key=lambda precision: MOST[precision])
    for i, precision in enumerate(by_loss):
        settle(out, ASKED | {"speech_bottom": by_loss[0], "llm": precision})
        assert BuiltRuntime(out).precision == by_loss[i]


def test_engines_that_are_missing_are_named(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineMismatchError, match="no engines have been built here"):
        BuiltRuntime(out)
    assert replay(["--checkpoint", "any", "--repository", str(out), "--published", "any"]) == 2
    assert "stream-omni replay: no engines have been built here; build them on" in capsys.readouterr().err
