"""``stream-omni build --target gpu``: from two checkpoint directories to engines for this machine's GPUs, checked.

What can be done without a GPU is done without one, and what is missing is told at the end; the same command goes on
from there on a machine that has it.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_omni.assets import Assets
from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.cosyvoice_checkpoint import VOICES, read_voices
from stream_omni.model_info import ModelInfo
from stream_omni.replay.published_example import NAME, require_files
from stream_omni.runtime.engine_manifest import NOT_REPLAYED
from stream_omni.tensorrt_llm_engine import version_here
from stream_omni.weights import TensorSource
from stream_omni_build import manifest
from stream_omni_build.acceptance import Checkpoint, record_cases, replay_built
from stream_omni_build.assets import require_asset_files, write_assets
from stream_omni_build.build import UNFINISHED, Sources, require_own
from stream_omni_build.build_estimate import require_disk, tell_estimate
from stream_omni_build.deployment import ENGINES, Deployment
from stream_omni_build.engines.engine_manifest import EngineManifest
from stream_omni_build.engines.gpu import Machine, look
from stream_omni_build.engines.llm_engine import make_llm_engine
from stream_omni_build.engines.stored_weights import RangeError
from stream_omni_build.engines.tensorrt_maker import TensorRtMaker
from stream_omni_build.engines.verify import LADDER
from stream_omni_build.engines.workshop import WORK, Workshop
from stream_omni_build.failures import BuildFailure
from stream_omni_build.gpu_repository import deployed, link_checkpoints, place_plans, plans_of, render_deployment
from stream_omni_build.graph_options import with_units_alone
from stream_omni_build.progress import Progress


class MissingError(BuildFailure):
    """All has been done that this machine can do. The message says what is missing."""


def build_gpu(
    sources: Sources,
    deployment: Deployment,
    out: Path,
    progress: Progress,
    example: Path | None = None,
    *,
    replayed: bool = True,
) -> None:
    """Bring ``out`` up to date. Without a manifest in it, it is not complete. ``example``: the folder of the
    reference's published example, whose answer must come out. Not ``replayed``: engines that were each found right,
    and nothing that holds them all together.

    Raises MissingError on a machine without the GPUs or TensorRT; CheckpointError, OutError, NoSpaceError, VerifyError,
    CompileError and ReplayError as the steps do, and FileNotFoundError for an example that is not whole.
    """
    require_asset_files(sources.checkpoint, sources.cosyvoice)
    if example is not None:
        require_files(example)
    before = manifest.read_manifest(out)
    require_own(out, before)
    info = _describe(sources, deployment, progress)
    with progress.step("read the checkpoint"):
        inputs = _inputs(sources, info, progress)
    machine = look(deployment)
    follows = _follows(inputs, deployment, machine)
    is_whole = before is not None and before["inputs"] == follows and manifest.is_whole(out, before["files"])
    if before is not None and is_whole and _is_held(before.get("replay", {}), example, replayed):
        progress.say("unchanged: nothing to build")
        return
    require_disk(tell_estimate(info, deployment, out, _bytes_of(inputs), progress), out)
    out.mkdir(parents=True, exist_ok=True)
    (out / UNFINISHED).write_text("stream-omni build was interrupted here; run it again\n", encoding="utf-8")
    (out / manifest.NAME).unlink(missing_ok=True)
    tensors = open_sources(sources.checkpoint, sources.cosyvoice)
    with progress.step("write tokenizer, voices, speech tokenizer and model repository"):
        write_small_files(sources, deployment, info, tensors, out)
    workshop = Workshop(info, tensors, deployment, inputs, out, progress)
    _make_engines(workshop, machine)
    if machine.missing:
        raise MissingError(_what_is_missing(deployment, out, machine))
    _place(sources, deployment, out)
    found = _replay(workshop, sources, tensors, example) if replayed else _leave_unreplayed(deployment, progress)
    with progress.step("write the manifest"):
        shutil.rmtree(out / WORK, ignore_errors=True)
        (out / UNFINISHED).unlink()
        files = manifest.built_files(out)
        content = {"profile": deployment.name, "inputs": follows, "replay": found, "files": files}
        manifest.write_manifest(out, content)


def _describe(sources: Sources, deployment: Deployment, progress: Progress) -> ModelInfo:
    info = read_model_info(sources.checkpoint, sources.cosyvoice)
    if deployment.only_units:
        info = with_units_alone(info, sources.checkpoint, progress)
    return deployed(info, deployment)


def _inputs(sources: Sources, info: ModelInfo, progress: Progress) -> dict[str, Any]:
    """What graphs and their engines follow from, beside the deployment."""
    found = manifest.graph_inputs(sources.checkpoint, sources.cosyvoice, [], progress)
    return found | {"engines": manifest.digest_engines_code(), "only_units": info.only_units}


def _bytes_of(inputs: Mapping[str, Any]) -> int:
    return sum(file["bytes"] for source in ("checkpoint", "cosyvoice") for file in inputs[source].values())


def _follows(inputs: Mapping[str, Any], deployment: Deployment, machine: Machine) -> dict[str, Any]:
    """What the whole directory follows from, as it is read back from a manifest."""
    target = dataclasses.asdict(machine.target) if machine.target else None
    described = manifest.as_stored(dataclasses.asdict(deployment))
    found = {"graphs": inputs, "deployment": described, "target": target, "repository": manifest.template_inputs()}
    if deployment.stages["llm"].engine == "tensorrt-llm":
        found["tensorrt_llm"] = version_here()
    return found


def _is_held(before: Mapping[str, str] | str, example: Path | None, replayed: bool) -> bool:
    """Whether what a replay ``before`` found is all that is asked for."""
    return (before != NOT_REPLAYED or not replayed) and (example is None or NAME in before)


def write_small_files(
    sources: Sources, deployment: Deployment, info: ModelInfo, tensors: Mapping[str, TensorSource], out: Path
) -> None:
    """All but engines: assets and the model repository."""
    shutil.rmtree(out / "model_repository", ignore_errors=True)
    for folder in ("assets", "graphs"):
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir()
    info.save(out / "assets" / "model.json")
    write_assets(sources.checkpoint, sources.cosyvoice, info, tensors["model"], out)
    assert info.flow is not None
    render_deployment(deployment, info, list(read_voices(sources.cosyvoice / VOICES, info.flow.speaker_size)), out)


def _make_engines(workshop: Workshop, machine: Machine) -> None:
    stages, say, target = workshop.stages(), workshop.progress.say, machine.target
    wanting = [stage for stage in stages if target is None or not workshop.is_made(stage, target)]
    if wanting:
        workshop.begin()
        workshop.record(Assets.load(workshop.out))
    for stage in stages:
        if stage not in wanting:
            say(f"unchanged: engines of {stage.name}")
        elif target is None:
            _export_alone(workshop, stage.name)
        else:
            maker = TensorRtMaker(machine.trt, workshop.info, stage.gpu, workshop.out, say)
            say(f"{stage.name} runs in {workshop.make(stage, maker, target).precision}")
    if workshop.deployment.stages["llm"].engine == "tensorrt-llm":
        make_llm_engine(workshop, target)


def _replay(
    workshop: Workshop, sources: Sources, tensors: Mapping[str, TensorSource], example: Path | None
) -> dict[str, str]:
    """What the replay of the built repository found, by case."""
    out, progress = workshop.out, workshop.progress
    if not _is_compiled(workshop.deployment):
        progress.say("nothing was compiled, so nothing is replayed: `stream-omni replay --repository` does it any time")
        return {}
    checkpoint = Checkpoint(sources.checkpoint, tensors, Assets.load(out))
    folder = workshop.work / "replay"
    record_cases(checkpoint, folder, progress)
    with progress.step("replay what is built"):
        return replay_built(checkpoint, folder, out, example, progress)


def _is_compiled(deployment: Deployment) -> bool:
    return any(stage.engine in ENGINES for stage in deployment.stages.values())


def _leave_unreplayed(deployment: Deployment, progress: Progress) -> dict[str, str] | str:
    if not _is_compiled(deployment):
        return {}  # as with a replay: there is nothing that it would find
    progress.say(f"{NOT_REPLAYED}: nothing holds these engines all together; the same command without --no-replay does")
    return NOT_REPLAYED


def _export_alone(workshop: Workshop, name: str) -> None:
    """In the precision that is asked for, or the next one that its weights fit."""
    stage = workshop.deployment.stages[name]
    for precision in LADDER[stage.precision]:
        try:
            workshop.export(stage, precision)
            return
        except RangeError as error:
            workshop.progress.say(f"  {name} is not built in {precision}: {error}")


def _place(sources: Sources, deployment: Deployment, out: Path) -> None:
    """Where stages look for what they run."""
    if plans := plans_of(deployment):
        made = EngineManifest.load(out)
        assert made is not None
        files = {stage: record.plan.file for stage in plans for record in made.stages[stage].graphs.values()}
        place_plans(deployment, files, out)
    if any(stage.engine == "torch" for stage in deployment.stages.values()):
        link_checkpoints(sources.checkpoint, sources.cosyvoice, out)


def _what_is_missing(deployment: Deployment, out: Path, machine: Machine) -> str:
    stages = [stage for stage in deployment.stages.values() if stage.engine == "tensorrt"]
    made = ", ".join(f"{stage.name} in {stage.precision}" for stage in stages)
    return (
        f"{out} is not complete. Done here: assets, the model repository, the recorded runs that engines are checked "
        f"with, and the graphs with their weights ({made}). Not done: compiling and checking. Missing: "
        f"{'; '.join(machine.missing)}. Run the same command on a machine that has it, with the same --out: it goes "
        "on from here"
    )
