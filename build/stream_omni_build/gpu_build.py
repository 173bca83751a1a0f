"""``stream-omni build --target gpu``: from two checkpoint directories to engines for this machine's GPUs, checked.

What can be done without a GPU is done without one, and what is missing is told at the end; the same command goes on
from there on a machine that has it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_omni.assets import Assets
from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.model_info import ModelInfo
from stream_omni_build import manifest
from stream_omni_build.assets import require_asset_files, write_assets
from stream_omni_build.build import UNFINISHED, Sources, require_own
from stream_omni_build.deployment import Deployment
from stream_omni_build.engines.gpu import Machine, look
from stream_omni_build.engines.stored_weights import RangeError
from stream_omni_build.engines.tensorrt_maker import TensorRtMaker
from stream_omni_build.engines.verify import LADDER
from stream_omni_build.engines.workshop import Workshop
from stream_omni_build.failures import BuildFailure
from stream_omni_build.gpu_repository import deployed, link_checkpoints, place_plans, render_deployment
from stream_omni_build.graph_options import with_units_alone
from stream_omni_build.progress import Progress

ON_HOST = ("speech_tokenizer",)  # stages that no GPU runs


class MissingError(BuildFailure):
    """All has been done that this machine can do. The message says what is missing."""


def build_gpu(sources: Sources, deployment: Deployment, out: Path, progress: Progress) -> None:
    """Bring ``out`` up to date. Without a manifest in it, it is not complete.

    Raises MissingError on a machine without the GPUs or TensorRT; CheckpointError, OutError, NoSpaceError, VerifyError
    and CompileError as the steps do.
    """
    require_asset_files(sources.checkpoint, sources.cosyvoice)
    before = manifest.read_manifest(out)
    require_own(out, before)
    info = read_model_info(sources.checkpoint, sources.cosyvoice)
    if deployment.only_units:
        info = with_units_alone(info, sources.checkpoint, progress)
    info = deployed(info, deployment)
    with progress.step("read the checkpoint"):
        inputs = _inputs(sources, info, progress)
    out.mkdir(parents=True, exist_ok=True)
    (out / UNFINISHED).write_text("stream-omni build was interrupted here; run it again\n", encoding="utf-8")
    (out / manifest.NAME).unlink(missing_ok=True)
    tensors = open_sources(sources.checkpoint, sources.cosyvoice)
    with progress.step("write tokenizer, voices and speech tokenizer"):
        _write_assets(sources, info, tensors, out)
    assets = Assets.load(out)
    with progress.step("render the model repository"):
        shutil.rmtree(out / "model_repository", ignore_errors=True)
        render_deployment(deployment, info, list(assets.voices), out)
    if any(stage.engine != "torch" for stage in deployment.stages.values() if stage.name not in ON_HOST):
        workshop = Workshop(info, tensors, deployment, inputs, out, progress)
        machine = look(deployment)
        _make_engines(workshop, machine, assets)
        if machine.missing:
            raise MissingError(_what_is_missing(deployment, out, machine))
        place_plans(deployment, out)
    if any(stage.engine == "torch" for stage in deployment.stages.values()):
        link_checkpoints(sources.checkpoint, sources.cosyvoice, out)
    with progress.step("write the manifest"):
        (out / UNFINISHED).unlink()
        content = {"profile": deployment.name, "inputs": inputs, "files": manifest.built_files(out)}
        manifest.write_manifest(out, content)


def _make_engines(workshop: Workshop, machine: Machine, assets: Assets) -> None:
    stages, say = workshop.stages(), workshop.progress.say
    if machine.target is not None and all(workshop.is_made(stage, machine.target) for stage in stages):
        say("unchanged: engines")
        return
    workshop.begin()
    workshop.record(assets)
    for stage in stages:
        if machine.target is None:
            _export_alone(workshop, stage.name)
        elif workshop.is_made(stage, machine.target):
            say(f"unchanged: engines of {stage.name}")
        else:
            maker = TensorRtMaker(machine.trt, workshop.info, stage.gpu, workshop.out, say)
            settled = workshop.make(stage, maker, machine.target)
            say(f"{stage.name}: {settled.precision}")


def _export_alone(workshop: Workshop, name: str) -> None:
    """In the precision that is asked for, or the next one that its weights fit."""
    stage = workshop.deployment.stages[name]
    for precision in LADDER[stage.precision]:
        try:
            workshop.export(stage, precision)
            return
        except RangeError as error:
            workshop.progress.say(f"  {name} is not built in {precision}: {error}")


def _inputs(sources: Sources, info: ModelInfo, progress: Progress) -> dict[str, Any]:
    """What graphs, engines and assets follow from, beside the deployment."""
    found = manifest.graph_inputs(sources.checkpoint, sources.cosyvoice, [], progress)
    return found | {"engines": manifest.digest_engines_code(), "only_units": info.only_units}


def _write_assets(sources: Sources, info: ModelInfo, tensors: Mapping[str, Any], out: Path) -> None:
    for folder in ("assets", "graphs"):
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir()
    info.save(out / "assets" / "model.json")
    write_assets(sources.checkpoint, sources.cosyvoice, info, tensors["model"], out)


def _what_is_missing(deployment: Deployment, out: Path, machine: Machine) -> str:
    stages = [stage for stage in deployment.stages.values() if stage.engine == "tensorrt"]
    made = ", ".join(f"{stage.name} in {stage.precision}" for stage in stages)
    return (
        f"{out} is not complete. Done here: assets, the recorded runs that engines are checked with, and the graphs "
        f"with their weights ({made or 'none'}). Not done: compiling, checking and the model repository. Missing: "
        f"{'; '.join(machine.missing)}. Run the same command on a machine that has it, with the same --out: it goes "
        "on from here"
    )
