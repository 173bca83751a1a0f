"""What was measured of a replica, as the chart's templates read it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

_HEAD = (
    "# Written by python -m stream_omni_chart from benchmarks/results/capacity.json: turns at once that a replica "
    "answered in time, by profile.\n"
)


def capacities_text(result: Path) -> str:
    """Of a run of ``python -m benchmarks capacity``; no profile is named where it was not run. Raises ValueError where
    not even one turn was answered in time: nothing follows from that."""
    if not result.exists():
        return _HEAD + "{}\n"
    found = json.loads(result.read_text(encoding="utf-8"))
    profile, capacity = found["parameters"]["profile"], found["values"]["capacity"]
    if not capacity:
        raise ValueError(f"{result}: not one turn came in time; measure with a longer --first-audio-ms")
    return _HEAD + yaml.safe_dump({profile: capacity})
