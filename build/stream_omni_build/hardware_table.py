"""What each deployment profile takes of its GPUs, as a table; the one in docs/production.md is written by

python -m stream_omni_build.hardware_table docs/production.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from stream_omni.model_info import ModelInfo
from stream_omni_build.deployment import Deployment, read_deployment, shipped
from stream_omni_build.gpu_memory import StageMemory, by_gpu, deployment_memory, fits, gigabytes
from stream_omni_build.gpu_repository import deployed
from stream_omni_build.published_sizes import published_info

_COLUMNS = ("stage", "GPU", "engine, precision", "weights", "caches", "workspace", "CUDA", "sum")
BEGIN, END = "<!-- hardware: python -m stream_omni_build.hardware_table -->", "<!-- /hardware -->"


def table(info: ModelInfo, deployment: Deployment) -> str:
    """Markdown. ``info``: of a checkpoint, or of the published model."""
    memory = deployment_memory(deployed(info, deployment), deployment)
    positions = f"{deployment.prompt_positions} + {deployment.answer_positions} positions"
    about = f"**{deployment.name}**: {deployment.turns} turns at once, {positions}. {verdict(memory, deployment)}"
    rows = [_row(found) for found in memory]
    return "\n".join([about, "", f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|", *rows])


def _row(found: StageMemory) -> str:
    stage = found.stage
    parts = (found.weights, found.caches, found.workspace, found.context, found.total)
    numbers = " | ".join(gigabytes(count) for count in parts)
    return f"| `{stage.name}` | {stage.gpu} | {stage.engine}, {stage.precision} | {numbers} |"


def verdict(memory: list[StageMemory], deployment: Deployment) -> str:
    sums = by_gpu(memory, deployment)
    needs = " and ".join(f"{gigabytes(count)} GB on GPU {gpu}" for gpu, count in enumerate(sums))
    word = "fits" if fits(memory, deployment) else "DOES NOT FIT"
    return f"{needs}: {word} cards of {deployment.gpu_memory_gb} GB."


def tables() -> str:
    """Of all shipped profiles, for the published model; numbers in GB."""
    info = published_info()
    return "\n\n".join(table(info, read_deployment(name)) for name in shipped())


def replaced(document: str) -> str:
    """``document`` with today's tables between its markers. Raises ValueError where it has none."""
    return "".join(_replace(document))


def _replace(document: str) -> Iterator[str]:
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} ... {END}")
    yield from (before, begin, "\n", tables(), "\n", end, after)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(replaced(path.read_text(encoding="utf-8")), encoding="utf-8")
