"""Triton's view of a deployment on GPUs: the same models and ensembles as on a CPU, on other runtimes.

Which stage runs how (docs/decisions/0018): a stateless stage that is one graph, batch axis first, is a plan on Triton's
own TensorRT backend; a loop, or a stage that computes between its graphs, is a Python model that runs the plans itself.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_omni.model_info import ModelInfo
from stream_omni.runtime.engine_manifest import FOLDER
from stream_omni.serving.limits import Limits
from stream_omni.serving.stage_runtime import CHECKPOINT, COSYVOICE, Chosen
from stream_omni.serving.stages import TILES_IN_A_CALL
from stream_omni_build.deployment import Deployment, Stage
from stream_omni_build.repository import ProfileError, document, render_tables

ON_TRITON = ("vision_encoder",)  # stages that Triton's TensorRT backend can run by itself
UNIT_MS = 40
# what a language stage remembers of shared beginnings, on the host: 13 MB each in the 8B model
PREFIX_CACHE_MB = 512


def deployed(info: ModelInfo, deployment: Deployment) -> ModelInfo:
    """A checkpoint as a deployment serves it: its caches bound the context, and heads need no screening on a GPU."""
    context = min(info.context_tokens, deployment.positions)
    return dataclasses.replace(
        info, context_tokens=context, only_units=info.only_units and deployment.only_units, screened_heads=False
    )


def plans_of(deployment: Deployment) -> list[str]:
    """Stages that Triton runs by itself."""
    return [name for name in ON_TRITON if deployment.stages[name].engine == "tensorrt"]


def render_deployment(deployment: Deployment, info: ModelInfo, voices: list[str], out: Path) -> None:
    """Write ``out``/model_repository; the plans in it come with :func:`place_plans`. Raises ProfileError."""
    plans, tiles = plans_of(deployment), deployment.stages["vision_encoder"].batch
    if tiles < TILES_IN_A_CALL:
        raise ProfileError(f"batch of vision_encoder is {tiles}; a call brings {TILES_IN_A_CALL} tiles")
    tables: dict[str, dict[str, Any]] = {
        "shared": {
            "threads": 1,  # of ONNX Runtime, which only the speech tokenizer has
            "slots": deployment.turns,
            "stage_timeout_s": 30,  # as in profiles/cpu.toml, where this and the next ones are explained
            "turn_timeout_s": 300,
            "prefix_cache_mb": PREFIX_CACHE_MB,
        },
        "graphs": {},
        "limits": _limits(deployment),
        "chunks": dataclasses.asdict(deployment.chunks),
        "stream_omni": {"waiting": max(1, deployment.turns // 2), "wait_s": 3},
        **{name: _stage_table(stage, deployment, name in plans) for name, stage in deployment.stages.items()},
    }
    render_tables(tables, info, voices, out, plans)


def _stage_table(stage: Stage, deployment: Deployment, is_plan: bool) -> dict[str, Any]:
    """What differs from model to model."""
    on_gpu = stage.engine != "onnxruntime"
    place = f"kind: KIND_GPU count: {stage.instances} gpus: [ {stage.gpu} ]" if on_gpu else "kind: KIND_CPU count: 1"
    found: dict[str, Any] = {"placement": place}
    if not is_plan:
        chosen = Chosen(stage.engine, stage.precision, deployment.prefill_positions)
        found["runtime"] = document(dataclasses.asdict(chosen))
    if is_plan or stage.name in ("cosyvoice_flow", "vocoder"):
        found["largest_batch"] = stage.batch
    return found


def _limits(deployment: Deployment) -> dict[str, Any]:
    """The usual ones, as far as the caches of an answer reach."""
    usual, answer = Limits(), deployment.answer_positions
    return {
        "max_tokens": min(usual.max_tokens, answer),
        "default_max_tokens": min(usual.default_max_tokens, answer),
        "max_audio_out_ms": min(usual.max_audio_out_ms, answer * UNIT_MS),
        "default_audio_out_ms": min(usual.default_audio_out_ms, answer * UNIT_MS),
    }


def place_plans(deployment: Deployment, plans: Mapping[str, str], out: Path) -> None:
    """Put the plans of stages that Triton runs by itself where it looks for them; ``plans``: stage, and its plan's file
    in ``out``/engines. A hard link, where the file system has them: a plan is large."""
    for stage in plans_of(deployment):
        plan, target = out / FOLDER / plans[stage], out / "model_repository" / stage / "1" / "model.plan"
        target.unlink(missing_ok=True)
        try:
            os.link(plan, target)
        except OSError:
            shutil.copyfile(plan, target)


def link_checkpoints(checkpoint: Path, cosyvoice: Path, out: Path) -> None:
    """For stages that run in PyTorch straight from them; nothing is copied, so the build holds only links."""
    for name, folder in ((CHECKPOINT, checkpoint), (COSYVOICE, cosyvoice)):
        link = out / name
        link.unlink(missing_ok=True)
        link.symlink_to(folder.resolve(), target_is_directory=True)
