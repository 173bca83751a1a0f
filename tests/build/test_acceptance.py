"""The replay that ends a GPU build: of the CPU's build, which runs here, and of a whole GPU build whose plans run by
ONNX Runtime, with the rounding of their precision, in the very sessions that run TensorRT's plans."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from stream_omni_build import acceptance, gpu_build
from stream_omni_build.acceptance import Checkpoint, ReplayError, record_cases, replay_built
from stream_omni_build.built_runtime import BuiltRuntime
from stream_omni_build.deployment import FOLDER
from stream_omni_build.engines.emulation import EmulatedRunner, emulated
from stream_omni_build.engines.engine_manifest import Target
from stream_omni_build.engines.gpu import Machine
from stream_omni_build.engines.shapes import Profile
from stream_omni_build.main import main
from stream_omni_build.progress import silent

from stream_omni.assets import Assets
from stream_omni.checkpoint import open_sources
from stream_omni.replay.cases import read_cases
from stream_omni.replay.published_example import NAME, PICTURE, SOUND, TRANSCRIPT
from stream_omni.runtime import engine_manifest, tensorrt_runtime
from stream_omni.runtime.torch_memory import TorchMemory
from tests.onnx_program import OnnxProgram
from tests.serving.raw_client import picture

DEMO = Path(__file__).parents[2] / "build" / "demo" / "checkpoint"
CASES = {"text-answer", "speech-answer", "voice"}


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint: tuple[Path, Path], built: Path) -> Checkpoint:
    return Checkpoint(random_checkpoint[0], open_sources(*random_checkpoint), Assets.load(built))


@pytest.fixture(scope="module")
def cases(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "replay"
    record_cases(checkpoint, folder, silent())
    return folder


def test_both_loops_and_the_voice_are_recorded_once(cases: Path, checkpoint: Checkpoint) -> None:
    recorded = {case.name: case for case in read_cases(cases)}
    assert recorded.keys() == CASES
    text, speech = recorded["text-answer"].fields, recorded["speech-answer"].fields
    assert len(text["llm_ids"]) >= 3 and len(speech["out_ids"]) >= 3
    assert speech["llm_ids"] == text["llm_ids"][: len(speech["llm_ids"])]
    assert "merged_image_features" in recorded["text-answer"].arrays
    assert not (cases / "reference").exists()  # the fp32 weights
    before = {path: path.stat().st_mtime_ns for path in cases.rglob("*")}
    record_cases(checkpoint, cases, silent())
    assert before == {path: path.stat().st_mtime_ns for path in cases.rglob("*")}


def test_what_is_built_holds_them(cases: Path, checkpoint: Checkpoint, built: Path) -> None:
    found = replay_built(checkpoint, cases, built, None, silent())
    assert found.keys() == CASES
    assert all(line.endswith("  ok") for line in found.values())
    assert "text ids 0.0e+00" in found["text-answer"] and "speech ids 0.0e+00" in found["speech-answer"]


def swap_weights(graph: Path) -> None:
    """Of the first layer, two matrices of the same shape in each other's place."""
    model = onnx.load(graph, load_external_data=False)
    names = ("stack.blocks.0.mlp.gate.weight", "stack.blocks.0.mlp.up.weight")
    gate, up = (next(t for t in model.graph.initializer if t.name == name) for name in names)
    gate.name, up.name = up.name, gate.name
    onnx.save(model, graph)


def test_a_graph_whose_weights_are_in_the_wrong_place_is_refused(
    cases: Path, checkpoint: Checkpoint, built: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(built, tmp_path / "built")
    swap_weights(out / "graphs" / "speech_top.onnx")
    with pytest.raises(ReplayError, match="they do not answer as was recorded") as refused:
        replay_built(checkpoint, cases, out, None, silent())
    assert "speech-answer" in str(refused.value) and "text-answer" not in str(refused.value)


class Hidden(BuiltRuntime):
    """A build whose LLM shows no logits, as TensorRT-LLM's: only its engine can be asked."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.hidden = ("llm",)


def test_an_engine_that_hides_its_logits_is_asked_word_by_word(
    cases: Path, checkpoint: Checkpoint, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "BuiltRuntime", Hidden)
    found = replay_built(checkpoint, cases, built, None, silent())
    assert "text ids 0.0e+00" in found["text-answer"] and "llm_prefill" not in found["text-answer"]
    out = shutil.copytree(built, tmp_path / "built")
    for graph in ("llm", "llm_greedy"):
        if (out / "graphs" / f"{graph}.onnx").is_file():
            swap_weights(out / "graphs" / f"{graph}.onnx")
    with pytest.raises(ReplayError, match=r"text-answer +text ids: "):
        replay_built(checkpoint, cases, out, None, silent())


def test_the_published_example_is_one_case_more(
    cases: Path, checkpoint: Checkpoint, built: Path, tmp_path: Path
) -> None:
    """Random weights answer something else, and are refused for it."""
    (tmp_path / PICTURE).write_bytes(picture())
    soundfile.write(tmp_path / SOUND, np.sin(np.arange(16000) / 20).astype(np.float32) / 4, 16000)
    with pytest.raises(ReplayError, match=f"published-example +transcript: published '{TRANSCRIPT}', here "):
        replay_built(checkpoint, cases, built, tmp_path, silent())


class Rounded(BuiltRuntime):
    """A build in bf16, as far as it says."""

    precision = "bf16"


def test_a_build_of_reduced_precision_may_answer_the_published_example_otherwise(
    cases: Path, checkpoint: Checkpoint, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PICTURE).write_bytes(picture())
    soundfile.write(tmp_path / SOUND, np.sin(np.arange(16000) / 20).astype(np.float32) / 4, 16000)
    monkeypatch.setattr(acceptance, "BuiltRuntime", Rounded)
    line = replay_built(checkpoint, cases, built, tmp_path, silent())[NAME]
    assert f"published '{TRANSCRIPT}', here " in line and "told, not refused" in line and line.endswith("  ok")


TARGET = Target("10.14.1.48", "tensorrt", "NVIDIA Something", "9.0")


class PlanProgram(OnnxProgram):
    in_place = False

    def __init__(self, path: Path, trt: Any) -> None:
        super().__init__(path, optimised=False)


class Bench:
    """A maker whose plan is the graph, as the emulation runs it. ``slips``: graphs whose plan is another one's."""

    slips: tuple[str, ...] = ()

    def compile(self, name: str, graph: Path, profiles: list[Profile], plan: Path) -> None:
        model = onnx.load(graph)
        onnx.save(emulated(model), plan)
        if plan.stem in self.slips:
            swap_weights(plan)

    def runner(self, name: str, graph: Path, plan: Path) -> EmulatedRunner:
        return EmulatedRunner(graph)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A GPU that is not there; the command that builds the demo's checkpoint for it, all stages on plans. (A random
    checkpoint loses so much in bf16, after a picture, that nothing can be told.)"""
    monkeypatch.setattr(gpu_build, "look", lambda deployment: Machine(None, TARGET, ()))
    monkeypatch.setattr(gpu_build, "TensorRtMaker", lambda *arguments: Bench())
    here = engine_manifest.Machine(TARGET.tensorrt, TARGET.gpu, TARGET.compute_capability)
    monkeypatch.setattr(tensorrt_runtime, "machine_here", lambda gpu: here)
    monkeypatch.setattr(tensorrt_runtime, "import_module", lambda name: None)
    monkeypatch.setattr(tensorrt_runtime, "TensorRtProgram", PlanProgram)
    monkeypatch.setattr(tensorrt_runtime, "TorchMemory", lambda device, dtype: TorchMemory("cpu"))
    profile = tmp_path / "all-plans.toml"
    shipped = (FOLDER / "gpu-1.toml").read_text(encoding="utf-8")
    profile.write_text(shipped.replace('engine = "tensorrt-llm"', 'engine = "tensorrt"'), encoding="utf-8")
    language, cosyvoice = (str(DEMO / name) for name in ("stream-omni-demo", "cosyvoice-demo"))
    where = ["--profile", str(profile), "--out", str(tmp_path / "served")]
    return ["--checkpoint", language, "--cosyvoice", cosyvoice, "--target", "gpu", *where]


@pytest.mark.engines  # a minute of a quiet core
def test_a_gpu_build_ends_with_a_replay_of_its_engines(
    gpu: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bf16 and fp16; then one engine is another than the one that was checked, which only the replay can find."""
    assert main(gpu) == 0, capsys.readouterr().err
    out = tmp_path / "served"
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["replay"].keys() == CASES
    assert all(line.endswith("  ok") for line in manifest["replay"].values()), manifest["replay"]
    assert not (out / "work").exists()
    assert "replay what is built: " in capsys.readouterr().out
    assert main(gpu) == 0 and "unchanged: nothing to build" in capsys.readouterr().out
    (out / "engines" / "speech_top.plan").unlink()
    monkeypatch.setattr(Bench, "slips", ("speech_top",))
    assert main(gpu) == 1
    said = capsys.readouterr().err
    assert "its engines were each found right, but all together they do not answer as was recorded (in bf16)" in said
    assert "speech-answer" in said and "Traceback" not in said
    assert not (out / "manifest.json").exists()


def test_an_example_that_is_not_whole_is_refused_before_any_work(
    gpu: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*gpu, "--example", str(tmp_path)]) == 1
    assert "lacks cat.jpg and cat_color.wav, which the reference's repository has" in capsys.readouterr().err
    assert not (tmp_path / "served").exists()
