"""The LLM's engine of TensorRT-LLM: from the checkpoint to a plain Llama directory, from there to the engine.

The first step needs no GPU. The second one has never run: it is listed in docs/production.md.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from stream_omni.tensorrt_llm_engine import ENGINE, TABLE, version_here
from stream_omni_build.backbone import write_backbone
from stream_omni_build.engines.engine_manifest import FilePart, GraphRecord, StageRecord, Target
from stream_omni_build.engines.workshop import Workshop
from stream_omni_build.manifest import digest_file
from stream_omni_build.tensorrt_llm_build import build_engine, write_table

STAGE = "llm"
# of the engine's folder: what describes the engine, and the engine itself
CONFIG, PLAN = "config.json", "rank0.engine"


def make_llm_engine(workshop: Workshop, target: Target | None) -> None:
    """The backbone and, on a machine that is a target, the engine. Raises what the steps raise."""
    stage, folder = workshop.deployment.stages[STAGE], workshop.out / ENGINE
    if target is not None and workshop.is_made(stage, target):
        workshop.progress.say(f"unchanged: engines of {STAGE}")
        return
    backbone, scratch = workshop.work / "backbone", workshop.work / "tensorrt-llm"
    workshop.work.mkdir(parents=True, exist_ok=True)
    if not (backbone / "complete").is_file():
        with workshop.progress.step("write the LLM as a plain Llama checkpoint"):
            write_backbone(workshop.info, workshop.sources["model"], backbone, workshop.progress)
            (backbone / "complete").touch()
    if target is None:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began_s = time.monotonic()
    with workshop.progress.step("build the LLM's engine"):
        build_engine(backbone, workshop.deployment, scratch, folder)
        write_table(workshop.sources["model"], folder)
    record = describe_engine(folder, time.monotonic() - began_s)
    key, precision = workshop.stage_key(stage, target), stage.precision
    made = StageRecord(key, stage.gpu, precision, precision, [], {STAGE: record}, version_here())
    workshop.save_record(made, stage, target)


def describe_engine(folder: Path, seconds: float) -> GraphRecord:
    """For the manifest. There are no ``errors``: nobody can look into the engine (`stream-omni replay` compares its
    ids). Its profiles are in ``folder``/config.json, which stands in the place of a graph."""
    parts = {
        kind: FilePart(f"{folder.name}/{name}", (folder / name).stat().st_size, digest_file(folder / name))
        for kind, name in (("graph", CONFIG), ("weights", TABLE), ("plan", PLAN))
    }
    return GraphRecord(**parts, profiles={}, errors={}, seconds={"compile": round(seconds, 1)})
