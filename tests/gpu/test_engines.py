"""Engines on the GPU that they are built for: built, checked, replayed, timed. In parts of at most ten minutes:
STREAM_OMNI_GPU_STAGES names those whose engines are built in one run (default: one after the other; `make test-gpu
PART=STAGE` sets it). "tensorrt-llm" is the LLM as gpu-1 has it, "llm" its own ONNX graph as a plan."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from stream_omni_build.built_runtime import BuiltRuntime
from stream_omni_build.deployment import FOLDER, GRAPHS_OF
from stream_omni_build.engines.engine_manifest import EngineManifest
from stream_omni_build.replay_command import main as replay

from stream_omni.text_engine import TextRequest
from tests.gpu.conftest import WORK, require_tensorrt, stream_omni
from tests.gpu.timing import time_answers, time_turns

pytestmark = pytest.mark.gpu
PART_S = 600  # as long as a test may take
TENSORRT_LLM = "tensorrt-llm"
ALL = (*(stage for stage in GRAPHS_OF if stage != "speech_tokenizer"), TENSORRT_LLM)
STAGES = os.environ.get("STREAM_OMNI_GPU_STAGES", ",".join(ALL)).split(",")
if unknown := set(STAGES) - set(ALL):
    raise pytest.UsageError(f"there is no stage {', '.join(sorted(unknown))}: {', '.join(ALL)} are")
PLANS = [stage for stage in STAGES if stage != TENSORRT_LLM]


@pytest.fixture(scope="module", autouse=True)
def tensorrt(gpu: str) -> None:
    require_tensorrt()


def profile_of(stage: str, folder: Path) -> Path:
    """gpu-1 with engines for one stage alone; all others in PyTorch."""
    name, engine = ("llm", TENSORRT_LLM) if stage == TENSORRT_LLM else (stage, "tensorrt")
    lines, inside = [], ""
    for line in (FOLDER / "gpu-1.toml").read_text(encoding="utf-8").splitlines():
        inside = line if line.startswith("[") else inside
        if line.startswith("engine = ") and inside != "[stages.speech_tokenizer]":
            line = f'engine = "{engine if inside == f"[stages.{name}]" else "torch"}"'
        lines.append(line)
    path = folder / f"only-{stage}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def build(checkpoints: tuple[Path, Path], target: object, out: Path, *more: str) -> None:
    checkpoint, cosyvoice = checkpoints
    stream_omni(
        *("build", "--checkpoint", checkpoint, "--cosyvoice", cosyvoice, "--target", "gpu"),
        *("--profile", target, "--out", out, *more),
    )


def build_at_real_size(stage: str, checkpoints: tuple[Path, Path]) -> Path:
    """Kept, so that a run that was cut short goes on, and times need no build. Without the replay, which would record
    all stages in fp32 on the processor."""
    out = WORK / "engines" / stage
    out.parent.mkdir(parents=True, exist_ok=True)
    build(checkpoints, profile_of(stage, out.parent), out, "--no-replay")
    return out


@pytest.mark.parametrize("stage", PLANS)
def test_a_tiny_stage_is_built_and_checked(stage: str, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "served"
    build(tiny, profile_of(stage, tmp_path), out)
    manifest = EngineManifest.load(out)
    assert manifest is not None and manifest.stages.keys() == {stage}
    replayed = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["replay"]
    assert replayed.keys() == {"text-answer", "speech-answer", "voice"}


@pytest.mark.parametrize("stage", PLANS)
def test_a_stage_of_real_size_is_built_and_checked(
    stage: str, real_size: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    began_s = time.monotonic()
    manifest = EngineManifest.load(build_at_real_size(stage, real_size))
    assert manifest is not None
    made = manifest.stages[stage]
    with capsys.disabled():
        print(f"\n{stage}: {made.precision} (asked: {made.asked}), {time.monotonic() - began_s:.0f} s")
        for graph, record in made.graphs.items():
            print(f"  {graph}: {record.plan.bytes >> 20} MB, seconds {record.seconds}, errors {record.errors}")
    assert time.monotonic() - began_s < PART_S


@pytest.mark.skipif(TENSORRT_LLM not in STAGES, reason="not among the stages of this part (STREAM_OMNI_GPU_STAGES)")
def test_the_llms_stage_of_gpu_1_is_built_and_answers(
    real_size: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of real size, by TensorRT-LLM: eight answers at once, whole and of the vocabulary. What random weights say is
    held by nobody."""
    began_s = time.monotonic()
    out = build_at_real_size(TENSORRT_LLM, real_size)
    built_s = time.monotonic() - began_s
    runtime, prompts = BuiltRuntime(out), np.random.default_rng(0)
    info = runtime.info
    engine = runtime.text_engine(runtime, info, 8, 0)
    nothing = np.zeros((0, info.llama.hidden), np.float32)
    for _ in range(2):  # the first one warms up
        asked = [prompts.integers(0, info.vocabulary.text_size, 120) for _ in range(8)]
        times, answers = time_answers(engine, [TextRequest(ids, nothing, 40, stop_ids=()) for ids in asked])
    assert all(len(ids) == 40 and max(ids) < info.vocabulary.text_size for ids in answers)
    with capsys.disabled():
        print(f"\n{TENSORRT_LLM}, 8b: built in {built_s:.0f} s, 8 turns: {times}")
    assert time.monotonic() - began_s < PART_S


@pytest.mark.parametrize("turns", [1, 8])
def test_first_unit_and_units_on_engines(
    turns: int, real_size: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    built = {stage: WORK / "engines" / stage for stage in ("llm", "speech_bottom", "speech_top")}
    if missing := [stage for stage, out in built.items() if not (out / "engines" / "manifest.json").is_file()]:
        pytest.skip(f"needs the engines of {', '.join(missing)} (the test above)")

    class Joined:
        finds_best_there = True

        def session(self, graph: str):
            stage = next(name for name in built if graph.removesuffix("_greedy") in GRAPHS_OF[name])
            return runtimes[stage].session(graph)

    runtimes = {stage: BuiltRuntime(out) for stage, out in built.items()}
    with capsys.disabled():
        print("\n" + time_turns(Joined(), runtimes["llm"].info, turns).line("TensorRT, 8b"))


def test_what_is_built_holds_recorded_cases_step_by_step(
    tiny: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recorded on this checkpoint first, in fp32, on the CPU."""
    checkpoint, cosyvoice = tiny
    where = ["--checkpoint", checkpoint, "--cosyvoice", cosyvoice]
    cases, out = tmp_path / "cases", tmp_path / "served"
    for output in ("text", "speech"):
        words = ["--text", "What is Triton?", "--output", output, "--name", output, "--max-new-tokens", 40]
        stream_omni("record", *where, *words, "--out", cases)
    build(tiny, profile_of("speech_top", tmp_path), out)
    assert replay([*map(str, where), "--cases", str(cases), "--repository", str(out)]) == 0, capsys.readouterr().out


@pytest.mark.skipif(
    "STREAM_OMNI_EXAMPLE" not in os.environ, reason="needs STREAM_OMNI_EXAMPLE, _SERVED and _CHECKPOINT"
)
def test_the_published_example(capsys: pytest.CaptureFixture[str]) -> None:
    """On the real weights: STREAM_OMNI_SERVED is a build of STREAM_OMNI_CHECKPOINT, STREAM_OMNI_EXAMPLE a folder with
    the reference's cat.jpg and cat_color.wav."""
    served, example = os.environ["STREAM_OMNI_SERVED"], os.environ["STREAM_OMNI_EXAMPLE"]
    where = ["--checkpoint", os.environ["STREAM_OMNI_CHECKPOINT"], "--repository", served]
    assert replay([*where, "--published", example]) == 0, capsys.readouterr().out


DEMO = Path(__file__).parents[2] / "build" / "demo"
LOSES_AT_MOST_POINTS = 2.0  # of right answers, and of wrong words in transcripts


def test_what_a_quantised_profile_loses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the demo's checkpoint on its held-out questions; or of STREAM_OMNI_QUANTISED against STREAM_OMNI_PLAIN, builds
    of the same weights in 8 bits and without, on those of STREAM_OMNI_QUESTIONS. Eight questions are few: one more that
    is wrong is already too many."""
    questions = os.environ.get("STREAM_OMNI_QUESTIONS", DEMO / "held_out" / "questions.jsonl")
    builds = {"gpu-1": "STREAM_OMNI_PLAIN", "gpu-1-24g": "STREAM_OMNI_QUANTISED"}
    checkpoints = DEMO / "checkpoint" / "stream-omni-demo", DEMO / "checkpoint" / "cosyvoice-demo"
    lost: list[object] = []
    for profile, variable in builds.items():
        built = Path(os.environ.get(variable, tmp_path / profile))
        if variable not in os.environ:
            build(checkpoints, profile, built)
        out, judge = tmp_path / f"{profile}-quality", ("--judge", "none")
        told = stream_omni("eval", "--manifest", questions, "--repository", built, "--out", out, *judge, *lost)
        lost = ["--against", out, "--lose-at-most", LOSES_AT_MOST_POINTS]
    with capsys.disabled():
        print("\n" + told)
