"""Engines on the GPU that they are built for: built, checked, replayed, timed. In parts of at most ten minutes:
STREAM_OMNI_GPU_STAGES names those whose engines are built at real size in one run (default: one after the other)."""

from __future__ import annotations

import json
import os
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from stream_omni_build.built_runtime import BuiltRuntime
from stream_omni_build.deployment import GRAPHS_OF, read_deployment
from stream_omni_build.engines.engine_manifest import EngineManifest
from stream_omni_build.replay_command import main as replay

from tests.gpu.conftest import WORK, stream_omni
from tests.gpu.timing import time_turns

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        find_spec("tensorrt") is None, reason="needs TensorRT: run this in the image of build/Dockerfile"
    ),
]
PART_S = 600  # as long as a test may take
STAGES = os.environ.get("STREAM_OMNI_GPU_STAGES", ",".join(s for s in GRAPHS_OF if s != "speech_tokenizer")).split(",")


def profile_of(stage: str, folder: Path) -> Path:
    """gpu-1 with engines of our own for one stage alone; all others in PyTorch."""
    shipped = Path(str(read_deployment.__globals__["FOLDER"])) / "gpu-1.toml"
    lines, inside = [], ""
    for line in shipped.read_text(encoding="utf-8").splitlines():
        inside = line if line.startswith("[") else inside
        if line.startswith("engine = ") and inside != "[stages.speech_tokenizer]":
            line = f'engine = "{"tensorrt" if inside == f"[stages.{stage}]" else "torch"}"'
        lines.append(line)
    path = folder / f"only-{stage}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def build(checkpoints: tuple[Path, Path], target: object, out: Path) -> None:
    checkpoint, cosyvoice = checkpoints
    stream_omni(
        *("build", "--checkpoint", checkpoint, "--cosyvoice", cosyvoice, "--target", "gpu"),
        *("--profile", target, "--out", out),
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_tiny_stage_is_built_and_checked(stage: str, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "served"
    build(tiny, profile_of(stage, tmp_path), out)
    manifest = EngineManifest.load(out)
    assert manifest is not None and manifest.stages.keys() == {stage}
    replayed = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["replay"]
    assert replayed.keys() == {"text-answer", "speech-answer", "voice"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_of_real_size_is_built_and_checked(
    stage: str, real_size: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept, so that a run that was cut short goes on, and the times below need no build."""
    out = WORK / "engines" / stage
    out.parent.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    build(real_size, profile_of(stage, out.parent), out)
    manifest = EngineManifest.load(out)
    assert manifest is not None
    made = manifest.stages[stage]
    with capsys.disabled():
        print(f"\n{stage}: {made.precision} (asked: {made.asked}), {time.monotonic() - began_s:.0f} s")
        for graph, record in made.graphs.items():
            print(f"  {graph}: {record.plan.bytes >> 20} MB, seconds {record.seconds}, errors {record.errors}")
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
