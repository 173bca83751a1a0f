"""The dashboards as files: Grafana can lay them out, and Prometheus can read every query."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from stream_omni_monitoring.foreign_names import OF_GPU, OF_KUBERNETES

from tests.monitoring.conftest import DASHBOARDS, RULES, panels_of, queries_of, rules_of
from tests.monitoring.metric_names import asked
from tests.monitoring.test_rules import Promtool

ROWS = (
    "What was promised",
    "Modes: rate, errors, duration",
    "Stages, and what the first sound waits for",
    "Queue and admission",
    "Streams, capacity, replicas",
    "GPU, memory, KV slots",
    "Lifecycle",
    "Envoy",
    "Requests: rate, errors, duration",
    "Spoken conversations (/v1/realtime)",
)


def all_of(dashboard: Path) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(dashboard.read_text())["panels"]
    return panels


def test_all_rows_are_there_in_order() -> None:
    by_uid = sorted(DASHBOARDS, key=lambda path: "gateway" in path.name)
    rows = [panel["title"] for path in by_uid for panel in all_of(path) if panel["type"] == "row"]
    assert tuple(rows) == ROWS


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_places_of_their_own(dashboard: Path) -> None:
    places = [panel["gridPos"] for panel in all_of(dashboard)]
    for place in places:
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24 and place["h"] > 0
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
    numbers = [panel["id"] for panel in all_of(dashboard)]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_panel_says_what_it_shows_and_in_what(dashboard: Path) -> None:
    panels = panels_of(dashboard)
    titles = [panel["title"] for panel in panels]
    assert len(titles) == len(set(titles))
    for panel in panels:
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"] and panel["targets"]
        for target in panel["targets"]:
            assert target["legendFormat"] and "$__rate_interval" not in target["legendFormat"]


def test_promtool_reads_every_query(promtool: Promtool, tmp_path: Path) -> None:
    queries = [query for dashboard in DASHBOARDS for query in queries_of(dashboard)]
    assert len(queries) > 80 and not any("$" in query for query in queries)
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0 and f"{len(queries)} rules found" in checked.stdout, checked.stdout + checked.stderr
    file.write_text(file.read_text().replace("panel:0\n", "panel:0\n    labels: {broken: }{\n"))
    assert promtool("check", "rules", file).returncode != 0


def test_recorded_series_that_are_shown_are_recorded_and_none_is_for_nobody() -> None:
    recorded = {rule["record"] for rule in rules_of("record")}
    shown = asked(query for dashboard in DASHBOARDS for query in queries_of(dashboard))
    used = shown | asked(rule["expr"] for rule in rules_of("alert"))
    assert {name for name in used if ":" in name} == recorded
    assert RULES and set(OF_GPU) <= shown and set(OF_KUBERNETES) <= used
