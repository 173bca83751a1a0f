"""What was measured of replicas, as the chart's templates read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from stream_omni_build.deployment import shipped

DEMO = "demo"  # the demo checkpoint, on the profile cpu: says nothing of other models there
_HEAD = (
    "# Written by python -m stream_omni_chart from runs of python -m benchmarks capacity: turns at once that a replica "
    "answered in time,\n# by profile; demo: the demo checkpoint on the profile cpu.\n"
)


def capacities_text(result: Path, written: Path) -> str:
    """``written`` with what a run of ``python -m benchmarks capacity`` found, which replaces what it said of the same
    profile only. Raises ValueError for a profile that there is not, and where not even one turn was answered in time:
    nothing follows from that."""
    capacities = _capacities(written)
    if result.exists():
        found = json.loads(result.read_text(encoding="utf-8"))
        name, capacity = _name(found["parameters"]), found["values"]["capacity"]
        if not capacity:
            raise ValueError(f"{result}: not one turn came in time; measure with a longer --first-audio-ms")
        capacities[name] = capacity
    known = (DEMO, "cpu", *shipped())
    if unknown := sorted(capacities.keys() - {*known}):
        raise ValueError(f"{result}: no profile is named {', '.join(unknown)}; --profile is one of {', '.join(known)}")
    return _HEAD + yaml.safe_dump(capacities)


def _capacities(written: Path) -> dict[str, int]:
    return yaml.safe_load(written.read_text(encoding="utf-8")) or {} if written.exists() else {}


def _name(parameters: dict[str, Any]) -> str:
    is_demo = parameters["profile"] == "cpu" and parameters.get("served") == "demo"
    return DEMO if is_demo else str(parameters["profile"])
