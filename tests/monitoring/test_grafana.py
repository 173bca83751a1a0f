"""Grafana can load the dashboards: they are what its own published types say, field by field.

No Grafana runs here; @grafana/schema is what its makers publish for programs that write dashboards: 10.4 and 13.2.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helm import programs
from tests.monitoring.conftest import DASHBOARDS

pytestmark = pytest.mark.k8s

_HERE = Path(__file__).parent / "grafana_types"
Dashboard = dict[str, Any]


def wrong_with(*dashboards: Dashboard) -> str:
    """Line by line; empty: nothing."""
    node = shutil.which("node")
    assert node, "install Node.js 20 or newer"
    command, told = [node, "check.mjs"], json.dumps(dashboards)
    folder = programs.node_packages(_HERE)
    ended = subprocess.run(command, cwd=folder, input=told, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


def test_dashboards_are_as_grafanas_types_say() -> None:
    assert len(DASHBOARDS) == 2
    assert wrong_with(*(json.loads(path.read_text()) for path in DASHBOARDS)) == ""


def _spoilt(how: Callable[[Dashboard], None]) -> Dashboard:
    dashboard: Dashboard = copy.deepcopy(json.loads(DASHBOARDS[1].read_text()))
    how(dashboard)
    return dashboard


def _panel(dashboard: Dashboard) -> Dashboard:
    return next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")


def _rename(mapping: Dashboard, old: str, new: str) -> None:
    mapping[new] = mapping.pop(old)


# what is done to a dashboard, and a word of what is then found
SPOILT: list[tuple[Callable[[Dashboard], Any], str]] = [
    (lambda dashboard: _rename(dashboard, "refresh", "refreshes"), "'\"refreshes\"' does not exist"),
    (lambda dashboard: dashboard.update(graphTooltip=3), "'3' is not assignable to type '0 | 1 | 2"),
    (lambda dashboard: dashboard["templating"]["list"][0].update(type="source"), "'\"source\"' is not assignable"),
    (lambda dashboard: _rename(_panel(dashboard), "title", "heading"), "'\"heading\"' does not exist"),
    (lambda dashboard: _panel(dashboard)["targets"][0].pop("expr"), "'expr' is missing"),
    (lambda dashboard: _panel(dashboard)["gridPos"].update(w="8"), "'string' is not assignable to type 'number'"),
    (lambda dashboard: _panel(dashboard)["options"]["legend"].update(displayMode="row"), "'\"row\"' is not assignable"),
    (lambda dashboard: _custom(dashboard).update(drawStyle="dots"), "'\"dots\"' is not assignable"),
    (lambda dashboard: _custom(dashboard).update(lineThickness=1), "'\"lineThickness\"' does not exist"),
    (lambda dashboard: _panel(dashboard).update(type="graph"), "not assignable to type 'never'"),
]


def _custom(dashboard: Dashboard) -> Dashboard:
    custom: Dashboard = _panel(dashboard)["fieldConfig"]["defaults"]["custom"]
    return custom


def test_the_check_notices_what_is_wrong() -> None:
    found = wrong_with(*(_spoilt(how) for how, _ in SPOILT))
    for edition in ("Grafana 10", "Grafana 13"):
        told = [line for line in found.splitlines() if line.startswith(edition)]
        for _, words in SPOILT:
            assert any(words in line for line in told), f"{edition} does not say: {words}\n{found}"
