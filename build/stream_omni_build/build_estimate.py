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
from stream_omni_build.deployment import Deployment, Stage
from stream_omni_build.gpu_memory import parameters, weight_bytes
from stream_omni_build.progress import Progress
from stream_omni_build.weight_plan import NoSpaceError

_SMALL_FILES_BYTES = 700_000_000  # speech tokenizer, graphs, recorded runs
_TRIAL_BYTES = 64 << 20
# What is kept in memory beside the tensor that is being converted: Python with PyTorch and onnx
_BASE_BYTES = 1_500_000_000


@dataclass(frozen=True)
class Disk:
    """Bytes in ``out``: what stays, and the most that is there at once while the build works."""

    kept: int
    peak: int
    written: int  # in all, for the time it takes


def build_disk(info: ModelInfo, deployment: Deployment) -> Disk:
    """The steps' files, as gpu_build and its workshop make and remove them."""
    stages = [stage for stage in deployment.stages.values() if stage.engine == "tensorrt"]
    narrow = {stage.name: _stage_bytes(info, stage) for stage in stages}
    wide = [_stage_fp32_bytes(info, stage) for stage in stages]  # one at a time, while runs are recorded
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
    if stages or llm.engine == "tensorrt-llm":  # what is built is replayed: all in fp32 once more, one at a time
        replayed = [_stage_fp32_bytes(info, stage) for stage in deployment.stages.values()]
        peaks.append(kept + max(replayed))
        written += sum(replayed)
    return Disk(kept, max(peaks), written + _SMALL_FILES_BYTES)


def host_memory_bytes(info: ModelInfo) -> int:
    """Of the export: the largest parameter in fp32, and its rows once more as they are written."""
    largest = max(math.prod(shape) for graph in graphs(info) for shape in parameters(graph, info).values())
    return _BASE_BYTES + 2 * 4 * largest


def require_disk(disk: Disk, out: Path) -> None:
    """Raises NoSpaceError, which names what is missing. What an interrupted build left counts as room."""
    free = shutil.disk_usage(existing(out)).free + _used(out)
    if free < disk.peak:
        raise NoSpaceError(
            f"{out} has {free / 1e9:.1f} GB for this build, which needs {disk.peak / 1e9:.1f} GB while it works and "
            f"keeps {disk.kept / 1e9:.1f} GB: free {(disk.peak - free) / 1e9:.1f} GB, or choose another --out"
        )


def write_rate(out: Path) -> float:
    """Bytes a second that reach the disk of ``out``: a trial with a file of 64 MB."""
    block = os.urandom(1 << 20)
    with tempfile.TemporaryFile(dir=existing(out)) as file:
        began_s = time.monotonic()
        for _ in range(_TRIAL_BYTES >> 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return _TRIAL_BYTES / (time.monotonic() - began_s)


def describe(disk: Disk, info: ModelInfo, checkpoint_bytes: int, rate: float) -> str:
    """What a build says before it begins. ``rate``: bytes a second (:func:`write_rate`)."""
    moved = 2 * checkpoint_bytes + disk.written  # it is read for its digests, and once more for what is made of it
    return (
        f"estimate: {disk.peak / 1e9:.1f} GB of disk while it works, {disk.kept / 1e9:.1f} GB to keep; "
        f"{host_memory_bytes(info) / 1e9:.1f} GB of memory for the conversion; {moved / rate / 60:.0f} min to move "
        f"{moved / 1e9:.0f} GB at the {rate / 1e6:.0f} MB/s of this disk, and the compilers' time on top"
    )


def tell_estimate(
    info: ModelInfo, deployment: Deployment, out: Path, checkpoint_bytes: int, progress: Progress
) -> None:
    """Before anything large is written. Raises NoSpaceError where the disk does not suffice."""
    disk = build_disk(info, deployment)
    require_disk(disk, out)
    progress.say(describe(disk, info, checkpoint_bytes, write_rate(out)))


def existing(path: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _used(out: Path) -> int:
    return sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and not p.is_symlink()) if out.is_dir() else 0


def _stage_bytes(info: ModelInfo, stage: Stage) -> int:
    return sum(weight_bytes(info, name, stage) for name in stage.graphs)


def _stage_fp32_bytes(info: ModelInfo, stage: Stage) -> int:
    return 4 * sum(math.prod(shape) for name in stage.graphs for shape in parameters(name, info).values())
