"""The real programs, and the rules and dashboards as they are shipped."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import prometheus_programs

CHART = Path(__file__).parents[2] / "helm" / "stream-omni"
RULES = sorted((CHART / "rules").glob("*.yaml"))
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))


@pytest.fixture(scope="session")
def prometheus_folder(pytestconfig: pytest.Config) -> Path:
    return prometheus_programs.folder(pytestconfig)


@pytest.fixture(scope="session")
def promtool(prometheus_folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([prometheus_folder / "promtool", *arguments], capture_output=True, text=True, timeout=600)

    return run


def rules_of(kind: str) -> list[dict[str, Any]]:
    """``kind``: `alert` or `record`."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def panels_of(dashboard: Path) -> list[dict[str, Any]]:
    """Without the headers of rows."""
    return [panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"]


def queries_of(dashboard: Path) -> list[str]:
    """With every choice at "all", as Prometheus gets them."""
    return [filled(target["expr"]) for panel in panels_of(dashboard) for target in panel["targets"]]


def filled(query: str, interval: str = "1m") -> str:
    for choice in ("$namespace", "$release", "$pod"):
        query = query.replace(choice, ".*")
    return query.replace("$__rate_interval", interval)
