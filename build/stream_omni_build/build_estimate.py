"""Before a GPU build begins: what it will take of disk, memory and time, and whether the disk has that."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni_build.backbone import backbone_shapes
from stream_omni_build.compile_times import tell_compile_time
from stream_omni_build.deployment import Deployment, Stage
from stream_omni_build.engines.recording import FED_BY
from stream_omni_build.gpu_memory import parameters, weight_bytes
from stream_omni_build.progress import Progress
from stream_omni_build.weight_plan import NoSpaceError

_SMALL_FILES_BYTES = 700_000_000  # speech tokenizer, graphs, recorded runs
_TRIAL_BYTES = 64 << 20
# What is kept in memory beside the tensor that is being converted: Python with PyTorch and onnx
_BASE_BYTES = 1_500_000_000
# ONNX Runtime's memory for a graph, over its weights' bytes: 200 MB were seen at most for 192 MB of matrices
_HELD_BY_ONNX_RUNTIME = 1.1


@dataclass(frozen=True)
class Disk:
    """Bytes in ``out``: what stays, and the most that is there at once while the build works."""

    kept: int
    peak: int
    written: int  # in all, for the time it takes


def build_disk(info: ModelInfo, deployment: Deployment) -> Disk:
    """The steps' files, as gpu_build and its workshop make and remove them."""
    stages = _compiled(deployment)
    narrow = {stage.name: _stage_bytes(info, stage) for stage in stages}
    wide = [_stage_fp32_bytes(info, stage) for stage in _recorded(deployment)]  # one at a time
    kept = _SMALL_FILES_BYTES + sum(narrow.values())
    peaks = [_SMALL_FILES_BYTES + max(wide, default=0), kept + max(narrow.values(), default=0)]
    written = sum(wide) + 2 * sum(narrow.values())
    llm = deployment.stages["llm"]
    if llm.engine == "tensorrt-llm":
        backbone = 2 * sum(math.prod(shape) for shape in backbone_shapes(info).values())
        engine = _stage_bytes(info, llm)
        table = 4 * info.vocabulary.text_size * info.llama.hidden
        kept += engine + table
        peaks.append(kept + backbone + engine)  # the plain checkpoint, and TensorRT-LLM's conversion of it
        written += backbone + 2 * engine + table
    replayed = [_stage_fp32_bytes(info, stage) for stage in _replayed(deployment)]  # once more, one at a time
    peaks.append(kept + max(replayed, default=0))
    written += sum(replayed)
    return Disk(kept, max(peaks), written + _SMALL_FILES_BYTES)


@dataclass(frozen=True)
class HostMemory:
    """Bytes at the peaks of the conversion, and of the recording, in which ONNX Runtime has a stage in fp32."""

    convert: int
    record: int


def host_memory(info: ModelInfo, deployment: Deployment) -> HostMemory:
    """Of the conversion: the largest parameter in fp32, and its rows once more as they are written."""
    largest = max(math.prod(shape) for graph in graphs(info) for shape in parameters(graph, info).values())
    wide = {*_recorded(deployment), *_replayed(deployment)}
    recorded = max((_stage_fp32_bytes(info, stage) for stage in wide), default=0)
    record = int(_BASE_BYTES + _HELD_BY_ONNX_RUNTIME * recorded) if recorded else 0
    return HostMemory(_BASE_BYTES + 2 * 4 * largest, record)


def require_disk(disk: Disk, out: Path) -> None:
    """Raises NoSpaceError, which names what is missing. What an interrupted build left counts as room."""
    free = shutil.disk_usage(existing(out)).free + _used(out)
    if free < disk.peak:
        raise NoSpaceError(
            f"{out} has {free / 1e9:.1f} GB for this build, which needs {disk.peak / 1e9:.1f} GB while it works and "
            f"keeps {disk.kept / 1e9:.1f} GB: free {(disk.peak - free) / 1e9:.1f} GB, or choose another --out"
        )


def write_rate(out: Path) -> float | None:
    """Bytes a second that reach the disk of ``out``, by a trial with a file of 64 MB; None where it takes none."""
    block = os.urandom(1 << 20)
    try:
        with tempfile.TemporaryFile(dir=existing(out)) as file:
            began_s = time.monotonic()
            for _ in range(_TRIAL_BYTES >> 20):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            return _TRIAL_BYTES / (time.monotonic() - began_s)
    except OSError:
        return None


def describe(disk: Disk, memory: HostMemory, checkpoint_bytes: int, rate: float | None, compilers: str) -> str:
    """What a build says before it begins. ``rate``: bytes a second (:func:`write_rate`); ``compilers``: of
    compile_times."""
    moved = 2 * checkpoint_bytes + disk.written  # it is read for its digests, and once more for what is made of it
    moving = f"{moved / 1e9:.0f} GB to move"
    if rate:
        moving += f", {max(1, round(moved / rate / 60))} min at the {rate / 1e6:.0f} MB/s of this disk"
    return (
        f"estimate: {disk.peak / 1e9:.1f} GB of disk while it works, {disk.kept / 1e9:.1f} GB to keep\n"
        f"  memory of the host: {memory.convert / 1e9:.1f} GB to convert, {memory.record / 1e9:.1f} GB to record what "
        "engines and the whole build are checked with, all on the CPU; what compilers take is not known\n"
        f"  time: {moving}; {compilers}; nobody knows how long the recordings take"
    )


def tell_estimate(
    info: ModelInfo, deployment: Deployment, out: Path, checkpoint_bytes: int, progress: Progress
) -> Disk:
    """Before anything large is written; what it takes of the disk."""
    disk, memory = build_disk(info, deployment), host_memory(info, deployment)
    progress.say(describe(disk, memory, checkpoint_bytes, write_rate(out), tell_compile_time(deployment, out)))
    return disk


def existing(path: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _used(out: Path) -> int:
    return sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and not p.is_symlink()) if out.is_dir() else 0


def _compiled(deployment: Deployment) -> list[Stage]:
    return [stage for stage in deployment.stages.values() if stage.engine == "tensorrt"]


def _recorded(deployment: Deployment) -> list[Stage]:
    """The same, and those that feed them."""
    names = {stage.name for stage in _compiled(deployment)}
    names |= {before for name in names for before in FED_BY.get(name, ())}
    return [stage for stage in deployment.stages.values() if stage.name in names]


def _replayed(deployment: Deployment) -> list[Stage]:
    """All, where anything is built: the questions that end a build are recorded in fp32."""
    is_built = any(stage.engine in ("tensorrt", "tensorrt-llm") for stage in deployment.stages.values())
    return list(deployment.stages.values()) if is_built else []


def _stage_bytes(info: ModelInfo, stage: Stage) -> int:
    return sum(weight_bytes(info, name, stage) for name in stage.graphs)


def _stage_fp32_bytes(info: ModelInfo, stage: Stage) -> int:
    return 4 * sum(math.prod(shape) for name in stage.graphs for shape in parameters(name, info).values())
