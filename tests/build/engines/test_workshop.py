"""Engines of the whole tiny checkpoint, made and checked by a GPU build's own steps. The engines are the graphs
themselves, run on the CPU with the rounding of their precision."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from stream_omni_build.deployment import Deployment
from stream_omni_build.engines.emulation import EmulatedRunner
from stream_omni_build.engines.engine_manifest import EngineManifest, Target
from stream_omni_build.engines.recording import STEPS
from stream_omni_build.engines.shapes import Profile
from stream_omni_build.engines.verify import Runner
from stream_omni_build.engines.workshop import Workshop
from stream_omni_build.progress import Progress

from stream_omni.assets import Assets
from stream_omni.graphs import graphs
from tests.build.engines.tiny import Tiny

GPU = Target("10.14.1.48", "tensorrt", "NVIDIA Something", "9.0")


class Bench:
    """A maker whose engine is the graph; it remembers what it was asked for."""

    def __init__(self) -> None:
        self.compiled: list[str] = []
        self._graphs: dict[Path, Path] = {}

    def compile(self, name: str, graph: Path, profiles: list[Profile], plan: Path) -> None:
        self.compiled.append(graph.stem)
        plan.write_text(f"a plan of {graph.stem}")

    def runner(self, name: str, graph: Path, plan: Path) -> Runner:
        return EmulatedRunner(graph)


def all_on_tensorrt(deployment: Deployment) -> Deployment:
    llm = dataclasses.replace(deployment.stages["llm"], engine="tensorrt")
    return dataclasses.replace(deployment, stages={**deployment.stages, "llm": llm})


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def workshop(tiny: Tiny, out: Path, said: list[str]) -> Workshop:
    """Recorded, and all stages made."""
    from stream_omni_build.deployment import read_deployment

    deployment = all_on_tensorrt(read_deployment("gpu-1"))
    made = Workshop(tiny.info, tiny.sources, deployment, {"code": "1"}, out, Progress(said.append))
    made.begin()
    made.record(Assets.load(tiny.built))
    for stage in made.stages():
        made.make(stage, Bench(), GPU)
    return made


def test_every_graph_was_recorded_in_both_profiles(workshop: Workshop) -> None:
    for stage in workshop.stages():
        for graph in stage.graphs:
            assert workshop.recorded(graph), graph
    tokens = {call.inputs["ids"].shape[1] for call in workshop.recorded("llm")}
    assert 1 in tokens
    assert max(tokens) > 1
    batches = {call.inputs["ids"].shape[0] for call in workshop.recorded("llm")}
    assert batches == {1, 2}


def test_every_stage_holds_its_tolerance_and_is_in_the_manifest(workshop: Workshop, out: Path) -> None:
    manifest = EngineManifest.load(out)
    assert manifest is not None
    assert manifest.target == GPU
    assert list(manifest.stages) == list(STEPS)
    for stage in manifest.stages.values():
        assert not stage.refused, stage
        for name, record in stage.graphs.items():
            outputs = {tensor.name for tensor in graphs(workshop.info)[name].outputs}
            assert outputs <= record.errors.keys()
            assert record.plan.file == f"{name}.plan"
            assert len(record.plan.sha256) == 64
            assert set(record.seconds) == {"export", "compile", "verify"}


def test_low_precision_is_felt(workshop: Workshop, out: Path) -> None:
    """Else the engines were not in it: their errors are far above those of fp32, which are about 1e-6."""
    manifest = EngineManifest.load(out)
    assert manifest is not None
    assert manifest.stages["llm"].graphs["llm"].errors["logits"] > 1e-3
    assert manifest.stages["vocoder"].graphs["vocoder"].errors["waveform"] < 1e-4  # fp32


def test_what_is_made_is_not_made_again(workshop: Workshop, tiny: Tiny, out: Path) -> None:
    for stage in workshop.stages():
        assert workshop.is_made(stage, GPU)
    again = dataclasses.replace(workshop)
    assert all(again.is_made(stage, GPU) for stage in again.stages())


@pytest.mark.parametrize("change", ["checkpoint", "precision", "limits", "gpu", "plan"])
def test_what_has_changed_is_made_again(change: str, workshop: Workshop, out: Path, tmp_path: Path) -> None:
    made, target, deployment = workshop, GPU, workshop.deployment
    stage = deployment.stages["vision_encoder"]
    if change == "checkpoint":
        made = dataclasses.replace(workshop, inputs={"code": "2"})
    if change == "precision":
        stage = dataclasses.replace(stage, precision="bf16")
    if change == "limits":
        stage = dataclasses.replace(stage, batch=3)
        stages = {**deployment.stages, "vision_encoder": stage}
        made = dataclasses.replace(workshop, deployment=dataclasses.replace(deployment, stages=stages))
    if change == "gpu":
        target = dataclasses.replace(GPU, gpu="NVIDIA Other")
    if change == "plan":
        plan = out / "engines" / "vision_encoder.plan"
        kept = plan.read_bytes()
        plan.unlink()
        assert not made.is_made(stage, target)
        plan.write_bytes(kept)
        return
    assert not made.is_made(stage, target)


def test_another_gpu_number_or_more_instances_keep_the_engines(workshop: Workshop) -> None:
    stage = dataclasses.replace(workshop.deployment.stages["vision_encoder"], gpu=1, instances=2)
    assert workshop.is_made(stage, GPU)


def test_a_stage_alone_is_recorded_with_those_that_feed_it(workshop: Workshop, tiny: Tiny, tmp_path: Path) -> None:
    torch = {
        name: dataclasses.replace(stage, engine="torch")
        for name, stage in workshop.deployment.stages.items()
        if name not in ("speech_tokenizer", "vocoder")
    }
    stages = {**workshop.deployment.stages, **torch}
    deployment = dataclasses.replace(workshop.deployment, stages=stages, turns=1)
    alone = dataclasses.replace(workshop, deployment=deployment, out=tmp_path)
    alone.begin()
    alone.record(Assets.load(tiny.built))
    recorded = {path.name for path in (alone.work / "recorded").iterdir() if "values" not in path.name}
    assert recorded == {"flow_encoder.npz", "flow_estimator.npz", "f0_predictor.npz", "vocoder.npz"}


def test_recordings_are_not_made_again(workshop: Workshop, tiny: Tiny, said: list[str]) -> None:
    before = len(said)
    workshop.record(Assets.load(tiny.built))
    assert len(said) == before


def test_an_export_that_is_there_is_not_made_again(workshop: Workshop, said: list[str]) -> None:
    stage = workshop.deployment.stages["vocoder"]
    first = workshop.export(stage, "fp32")
    before = len(said)
    assert workshop.export(stage, "fp32") == first
    assert len(said) == before


def test_of_a_stage_only_the_plan_is_kept(workshop: Workshop, out: Path) -> None:
    assert {path.suffix for path in (out / "engines").iterdir()} == {".plan", ".json"}
