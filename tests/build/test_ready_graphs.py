"""A build from ready graphs: the same bytes as one that makes them, without PyTorch, and only where they fit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stream_omni_build.ready_graphs import ready_files
from stream_omni_build.weight_plan import WeightPlan

from stream_omni.model_info import ModelInfo

from .conftest import run_build
from .test_build import contents, copied

_WITHOUT_EXPORTERS = """\
import sys
sys.modules |= dict.fromkeys(("torch", "onnx", "safetensors"))  # importing them fails
from stream_omni_build.main import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def ready(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of a build's graphs is kept beside a checkpoint: no weights."""
    folder = tmp_path_factory.mktemp("ready")
    for name in ready_files(ModelInfo.load(built / "assets" / "model.json")):
        shutil.copyfile(built / "graphs" / name, folder / name)
    return folder


def test_filled_graphs_are_the_made_ones_and_need_no_pytorch(
    random_checkpoint: tuple[Path, Path], built: Path, ready: Path, tmp_path: Path
) -> None:
    language, cosyvoice = map(str, random_checkpoint)
    options = ["--checkpoint", language, "--cosyvoice", cosyvoice, "--target", "cpu", "--graphs", str(ready)]
    command = [sys.executable, "-c", _WITHOUT_EXPORTERS, *options, "--out", str(tmp_path / "filled")]
    subprocess.run(command, check=True)
    made, filled = contents(built), contents(tmp_path / "filled")
    assert made.pop("manifest.json") != filled.pop("manifest.json")
    assert filled == made
    assert sum(file.stat().st_size for file in ready.iterdir()) < 3e6


def test_a_second_filling_does_nothing_and_other_graphs_are_taken_again(
    random_checkpoint: tuple[Path, Path], ready: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(ready, tmp_path / "ready"))
    assert run_build(random_checkpoint, tmp_path / "filled", "--graphs", str(own)) == 0
    assert run_build(random_checkpoint, tmp_path / "filled", "--graphs", str(own)) == 0
    assert "unchanged: nothing to build" in capsys.readouterr().out
    plan = own / "weights.json"
    plan.write_text(plan.read_text(encoding="utf-8") + "\n", "utf-8")
    assert run_build(random_checkpoint, tmp_path / "filled", "--graphs", str(own)) == 0
    assert "load every graph" in capsys.readouterr().out


def test_a_plan_is_read_as_it_was_written(ready: Path, tmp_path: Path) -> None:
    plan = WeightPlan.load(ready)
    plan.save(tmp_path)
    assert (tmp_path / "weights.json").read_bytes() == (ready / "weights.json").read_bytes()
    assert plan.needed()["model"]["lm_head.weight"] == (1024, 64)


def test_graphs_that_do_not_fit_are_refused(
    random_checkpoint: tuple[Path, Path], ready: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(graphs: Path) -> str:
        assert run_build(random_checkpoint, tmp_path / "filled", "--graphs", str(graphs)) == 1
        return capsys.readouterr().err

    assert "lacks weights.json" in refusal(tmp_path)
    other = Path(shutil.copytree(ready, tmp_path / "other"))
    plan = json.loads((other / "weights.json").read_text(encoding="utf-8"))
    plan["sizes"]["llama"]["rope"]["theta"] = 10_000.0
    (other / "weights.json").write_text(json.dumps(plan), "utf-8")
    assert "is of a checkpoint with another llama; build without --graphs" in refusal(other)
    (other / "weights.json").write_text("{}", "utf-8")
    assert "weights.json cannot be read" in refusal(other)
    assert not (tmp_path / "filled").exists()

    swapped = Path(shutil.copytree(ready, tmp_path / "swapped"))
    shutil.copyfile(ready / "f0_predictor.onnx", swapped / "vocoder.onnx")
    assert "graph vocoder takes and gives (['mel'], ['f0'])" in refusal(swapped)
    assert not (tmp_path / "filled" / "manifest.json").exists()


def test_a_checkpoint_that_lacks_a_tensor_of_the_plan_is_named(
    random_checkpoint: tuple[Path, Path], ready: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(ready, tmp_path / "ready"))
    plan = own / "weights.json"
    plan.write_text(plan.read_text(encoding="utf-8").replace("lm_head.weight", "lm_tail.weight"), "utf-8")
    checkpoint = copied(random_checkpoint, tmp_path)
    assert run_build(checkpoint, tmp_path / "filled", "--graphs", str(own)) == 1
    assert "lm_tail.weight [1024, 64] is missing" in capsys.readouterr().err
