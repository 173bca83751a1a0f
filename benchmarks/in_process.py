"""The library without Triton, set up as the served directory is."""

from __future__ import annotations

from benchmarks.subjects import Subject
from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.turn import InProcess


def in_process(
    subject: Subject, schedule: ChunkSchedule | None = None, runtime: OnnxRuntime | None = None
) -> InProcess:
    """One turn at a time, with the profile's threads and memory, and its chunks unless ``schedule`` is given.

    ``runtime`` shares graphs that are loaded already.
    """
    return InProcess(
        runtime or OnnxRuntime(subject.served, subject.parameter("llm", "threads")),
        Assets.load(subject.served),
        schedule or ChunkSchedule(**subject.parameter("stream_omni", "chunks")),
        prefix_cache_mb=subject.parameter("llm", "prefix_cache_mb"),
    )
