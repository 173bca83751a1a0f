"""How long compilers will take: as long as in an earlier build of the same directory, or else at least as long as was
measured where there is no GPU."""

from __future__ import annotations

from pathlib import Path

from stream_omni_build.deployment import Deployment
from stream_omni_build.engines.engine_manifest import EngineManifest

# Seconds by graph: TensorRT-RTX 1.7.1, real sizes, the shapes and precisions of gpu-1, two cores without a GPU
# (make test-engines). There no kernel is tried, and the largest matrices have no values: on a GPU it takes longer.
MEASURED_S = {
    "vision_encoder": 3.5,
    "speech_bottom": 0.7,
    "llm": 17.5,
    "speech_bottom_step": 0.6,
    "speech_top": 3.2,
    "flow_encoder": 1.6,
    "flow_estimator": 30.1,
    "f0_predictor": 0.2,
    "vocoder": 1.7,
}


def tell_compile_time(deployment: Deployment, out: Path) -> str:
    """Of the stages that are compiled, in words. ``out``: where the build is, or will be."""
    stages = [stage for stage in deployment.stages.values() if stage.engine == "tensorrt"]
    names = [name for stage in stages for name in stage.graphs]
    before = _seconds_of(out)
    parts = []
    if known := [name for name in names if name in before]:
        took = _minutes(sum(before[name] for name in known))
        parts.append(f"{took} to compile {len(known)} graphs, as last time here")
    if new := [name for name in names if name not in before and name in MEASURED_S]:
        least = _minutes(sum(MEASURED_S[name] for name in new))
        parts.append(f"at least {least} to compile {len(new)} graphs, which it took where no GPU was")
    if unknown := [name for name in names if name not in before and name not in MEASURED_S]:
        parts.append(f"{len(unknown)} graphs to compile, which takes nobody knows how long ({', '.join(unknown)})")
    if deployment.stages["llm"].engine == "tensorrt-llm":
        known_llm = "llm" in before
        parts.append(f"{_minutes(before['llm'])} for TensorRT-LLM" if known_llm else "TensorRT-LLM's own on top")
    return "; ".join(parts) or "nothing is compiled"


def _seconds_of(out: Path) -> dict[str, float]:
    """By graph, what compilers took of a build, whatever it was for."""
    manifest = EngineManifest.load(out)
    stages = manifest.stages.values() if manifest else ()
    graphs = {name: record.seconds for stage in stages for name, record in stage.graphs.items()}
    return {name: seconds["compile"] for name, seconds in graphs.items() if "compile" in seconds}


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} min"
