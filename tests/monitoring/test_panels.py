"""Every panel shows something: real servers behind the chart's Envoy and gateway, under load and a fault, read by a
real Prometheus with the chart's scrapes and rules, whose answers to the panels' queries are drawn."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stream_omni_monitoring.foreign_names import OF_GPU, OF_KUBERNETES

from tests.k8s.replica import Replica
from tests.k8s.scraping import prometheus
from tests.k8s.stand import SCRAPE_S, stand
from tests.monitoring.conftest import DASHBOARDS, filled, panels_of
from tests.monitoring.drawing import draw_rows
from tests.monitoring.load import load
from tests.monitoring.metric_names import asked
from tests.monitoring.prometheus_process import Prometheus

pytestmark = pytest.mark.k8s

LASTS_S = float(os.environ.get("STREAM_OMNI_STAND_S", 150))
KILLED_AFTER, DRAINED_AFTER = 0.4, 0.75  # of the time
RATES_OVER = "20s"  # ten scrapes
NOTE = (
    "Drawn from Prometheus' answers by the tests, not by Grafana: two servers of a tiny random model on "
    "{processors} CPU cores, "
    "a stage killed at {killed}, a server drained from {drained} on."
)
HIDDEN = {*OF_GPU, *OF_KUBERNETES}  # what no program here exports


@dataclass(frozen=True)
class Watched:
    """What Prometheus said of the stand's time: by dashboard, then by panel and curve (`12A`)."""

    answers: Mapping[str, Mapping[str, list[dict[str, Any]]]]
    firing: set[str]


@pytest.fixture(scope="module")
def watched(built_directory: Path, prometheus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("stand")
    with (
        stand(built_directory, folder, replicas=2) as running,
        prometheus(prometheus_folder, folder, running.rendered, running.pods, speed=1) as watching,
    ):
        print(f"\n  two servers, Envoy, a gateway and Prometheus run: {LASTS_S:.0f} s of load", flush=True)
        began_s = time.time()
        with load(running.edge.url, running.gateway.url):
            _spoil(running.replicas[1])
        ended_s = time.time()
        print("  now every panel asks", flush=True)
        answers = {path.stem: _ask(watching, path, began_s, ended_s) for path in DASHBOARDS}
        alerts = watching.ask(
            "query", query=f"max_over_time(ALERTS{{alertstate='firing'}}[{round(ended_s - began_s)}s])"
        )
    (folder / "answers.json").write_text(json.dumps(answers))
    return Watched(answers, {alert["metric"]["alertname"] for alert in alerts["result"]})


def _spoil(replica: Replica) -> None:
    """Kill one of its stages, later end it while it is busy."""
    time.sleep(LASTS_S * KILLED_AFTER)
    os.kill(replica.supervised.processes()["vocoder"], signal.SIGKILL)
    print("  a vocoder was killed", flush=True)
    time.sleep(LASTS_S * (DRAINED_AFTER - KILLED_AFTER))
    replica.supervised.order_drain()
    print("  a server drains", flush=True)
    time.sleep(LASTS_S * (1 - DRAINED_AFTER))


def _ask(running: Prometheus, dashboard: Path, began_s: float, ended_s: float) -> dict[str, list[dict[str, Any]]]:
    return {
        f"{panel['id']}{target['refId']}": running.series(
            filled(target["expr"], RATES_OVER), began_s, ended_s, SCRAPE_S
        )
        for panel in panels_of(dashboard)
        for target in panel["targets"]
    }


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_curve_of_every_panel_has_values(watched: Watched, dashboard: Path) -> None:
    empty = []
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            found = watched.answers[dashboard.stem][f"{panel['id']}{target['refId']}"]
            has_values = any(math.isfinite(float(value)) for series in found for _, value in series["values"])
            if not has_values and not asked([target["expr"]]) & HIDDEN:
                empty.append(f"{panel['title']}: {target['expr']}")
    assert not empty, "\n".join(empty)


def test_what_was_done_to_the_servers_is_seen(watched: Watched) -> None:
    def values(title: str, wanted: Callable[[Mapping[str, str]], bool], curve: str = "") -> list[float]:
        """``curve``: how its legend ends."""
        (dashboard,) = (path for path in DASHBOARDS if "server" in path.stem)
        (panel,) = (panel for panel in panels_of(dashboard) if panel["title"] == title)
        targets = [target for target in panel["targets"] if target["legendFormat"].endswith(curve)]
        found = [watched.answers[dashboard.stem][f"{panel['id']}{target['refId']}"] for target in targets]
        every = [series["values"] for series in itertools.chain(*found) if wanted(series["metric"])]
        return [float(value) for _, value in itertools.chain(*every) if math.isfinite(float(value))]

    def highest(title: str, wanted: Callable[[Mapping[str, str]], bool] = lambda labels: True) -> float:
        return max(values(title, wanted))

    assert highest("Turns refused with a retry hint", lambda labels: labels["reason"] in ("full", "waited")) > 0
    assert highest("Broken now, and mended", lambda labels: labels["pod"] == "omni-server-1") > 0
    assert highest("Drain time used", lambda labels: labels["pod"] == "omni-server-1") > 0
    assert highest("Drain time used", lambda labels: labels["pod"] == "omni-server-0") == 0
    assert highest("Streams of each replica", lambda labels: "pod" in labels) > 2

    def of_servers(labels: Mapping[str, str]) -> bool:
        return labels["envoy_cluster_name"] == "servers"

    healthy = values("Servers", of_servers, curve=" healthy")
    assert (max(healthy), min(healthy)) == (2, 1)  # Envoy noticed the server that was ended, and no other
    assert max(values("Refused, tried again, broken", of_servers, curve=" refused")) > 0  # its breaker
    assert values("Servers", of_servers, curve=" left alone")
    assert "StreamOmniWatchdog" in watched.firing and "StreamOmniNonFiniteOutput" not in watched.firing


def test_the_pictures_are_drawn(watched: Watched, tmp_path: Path) -> None:
    folder = Path(os.environ.get("STREAM_OMNI_PICTURES", tmp_path)) / "monitoring"
    moments = {"killed": KILLED_AFTER, "drained": DRAINED_AFTER}
    told = {name: f"{int(LASTS_S * share) // 60}:{int(LASTS_S * share) % 60:02d}" for name, share in moments.items()}
    note = NOTE.format(processors=os.cpu_count(), **told)
    for dashboard in DASHBOARDS:
        drawn = draw_rows(json.loads(dashboard.read_text()), watched.answers[dashboard.stem], note, folder)
        assert drawn and all(16_000 < path.stat().st_size < 150_000 for path in drawn)  # empty frames are 11 KB
