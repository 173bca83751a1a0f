"""More users, then fewer: Kubernetes' algorithm, on a real Prometheus' answers to the chart's own queries, scales real
servers behind the chart's Envoy."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.helm.chart import Rendered, render
from tests.k8s import addresses
from tests.k8s.autoscaler import SYNC_S, Autoscaler, chosen
from tests.k8s.deployment import Deployment
from tests.k8s.edge import edge
from tests.k8s.scalers import PodMetric, Trigger, keda_limits, pod_metrics, triggers
from tests.k8s.scraping import prometheus
from tests.k8s.users import Users
from tests.k8s.values import HPA, KEDA, MOST_REPLICAS
from tests.monitoring.prometheus_process import Prometheus

pytestmark = pytest.mark.k8s

SPEED = 10.0  # all windows and periods of the autoscaler and of Prometheus pass so many times as fast; servers do not
FEW, MANY = 3, 12  # users; the chart wants 5 on each server (0.7 of 8), so 1 and 3 servers
QUIET_S, FULL_S = 15.0, 30.0  # before the step, and when all servers are ready after it
WINDOW_S = 300.0  # of the chart, before the first replica may go
ORDERED_WITHIN_S = 15.0  # of the step: a scrape, and a doubling at each of two decisions
NOTICED_WITHIN_S = 5.0  # of being ready: some decisions
LONGEST_S = 900.0  # of a phase, on a machine that does other things
TOLD_EVERY_S = 10.0


@dataclass
class Run:
    """``looks``: at each decision. ``moments_s``: when what happened, from the first."""

    looks: list[dict[str, Any]] = field(default_factory=list)
    moments_s: dict[str, float] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def between(self, first: str, last: str) -> list[dict[str, Any]]:
        return [look for look in self.looks if self.moments_s[first] <= look["seconds"] < self.moments_s[last]]


@dataclass
class Loop:
    """The horizontal pod autoscaler's, and beside it what that of KEDA would order, which nobody obeys."""

    metrics: list[PodMetric]
    triggers: list[Trigger]
    prometheus: Prometheus
    deployment: Deployment
    autoscaler: Autoscaler
    keda: Autoscaler
    users: Users
    run: Run = field(default_factory=Run)
    began_s: float = field(default_factory=time.monotonic)
    _keda_orders: int = 1
    _told_s: float = 0.0

    def until(self, name: str, holds: Any) -> None:
        """Decides every so often until ``holds()``; that moment is ``name``."""
        deadline_s = time.monotonic() + LONGEST_S
        while not holds():
            assert time.monotonic() < deadline_s, f"{name}: {self.run.looks[-1]}"
            next_s = time.monotonic() + SYNC_S / SPEED
            self._decide()
            time.sleep(max(0.0, next_s - time.monotonic()))
        self.run.moments_s[name] = time.monotonic() - self.began_s
        _say(f"{self.run.moments_s[name]:5.0f} s: {name}")

    def for_a_while(self, name: str, duration_s: float) -> None:
        until_s = time.monotonic() + duration_s
        self.until(name, lambda: time.monotonic() >= until_s)

    def _decide(self) -> None:
        current, pods, now_s = self.deployment.wanted, self.deployment.pods, time.monotonic()
        proposals = [metric.propose(self.prometheus, pods, current) for metric in self.metrics]
        of_keda = [trigger.propose(self.prometheus, self._keda_orders) for trigger in self.triggers]
        self._keda_orders = self.keda.decide(now_s, self._keda_orders, chosen(of_keda, self._keda_orders))
        demand, waiting = (metric.values(self.prometheus, pods) for metric in self.metrics)
        self.deployment.scale(self.autoscaler.decide(now_s, current, chosen(proposals, current)))
        self.run.looks.append(
            {
                "seconds": now_s - self.began_s,
                "users": self.users.wanted,
                "demand": demand,
                "waiting": sum(waiting.values()),
                "proposals": proposals,
                "keda": self._keda_orders,
                "wanted": self.deployment.wanted,
                "ready": self.deployment.ready,
                "ending": self.deployment.ending,
                **{ending: self.users.endings[ending] for ending in ("done", "refused", "dropped")},
            }
        )
        if now_s - self._told_s > TOLD_EVERY_S:
            self._told_s = now_s
            _say(_told(self.run.looks[-1]))


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _told(look: Mapping[str, Any]) -> str:
    streams = " + ".join(f"{value:g}" for value in look["demand"].values()) or "no"
    return (
        f"{look['seconds']:5.0f} s: {look['users']} users, {streams} streams, {look['wanted']} servers ordered, "
        f"{look['ready']} ready, {look['ending']} ending; turns: {look['done']} done, {look['refused']} refused, "
        f"{look['dropped']} dropped"
    )


@pytest.fixture(scope="module")
def run(built_directory: Path, prometheus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder, rendered = tmp_path_factory.mktemp("scaling"), render(HPA)
    with ExitStack() as stack:
        servers = {f"omni-server-{number}": addresses.of_server(number) for number in range(MOST_REPLICAS)}
        proxy = stack.enter_context(edge(rendered, folder, list(servers.values())))
        deployment = stack.enter_context(
            Deployment(rendered.pod("server"), built_directory, folder, places=MOST_REPLICAS)
        )
        deployment.scale(1)
        deployment.wait_until_ready()
        proxy.wait_for_healthy(1, 30)
        pods = {"server": servers, "envoy": {"omni-envoy-0": proxy.address}}
        running = stack.enter_context(prometheus(prometheus_folder, folder, rendered, pods, SPEED))
        users = stack.enter_context(Users(proxy.url, MANY, wanted=FEW))
        loop = _loop(rendered, running, deployment, users)
        _step(loop)
        loop.run.report = _report(loop, running)
    loop.run.report |= {"starts_s": deployment.starts_s, "failures": deployment.failures()}
    for line in summary(loop.run):
        _say(line)
    (folder / "run.json").write_text(json.dumps({"moments_s": loop.run.moments_s, "looks": loop.run.looks}))
    yield loop.run


def _loop(rendered: Rendered, running: Prometheus, deployment: Deployment, users: Users) -> Loop:
    scaler, scaled = Autoscaler(rendered.one("HorizontalPodAutoscaler")["spec"], SPEED), render(KEDA)
    keda = Autoscaler(keda_limits(scaled), SPEED)
    return Loop(pod_metrics(rendered), triggers(scaled), running, deployment, scaler, keda, users)


def _step(loop: Loop) -> None:
    users, deployment = loop.users, loop.deployment
    loop.for_a_while("more users", QUIET_S)
    users.wanted = MANY
    loop.until("all ordered", lambda: deployment.wanted == MOST_REPLICAS)
    loop.until("all ready", lambda: deployment.ready == MOST_REPLICAS)
    loop.for_a_while("fewer users", FULL_S)
    users.wanted = FEW
    loop.until("first leaves", lambda: deployment.ending > 0)
    loop.until("one is left", lambda: deployment.wanted == 1 and not deployment.ending)
    loop.for_a_while("end", QUIET_S)
    users.wanted = 0


def _report(loop: Loop, running: Prometheus) -> dict[str, Any]:
    rules = [rule for group in running.ask("rules")["groups"] for rule in group["rules"]]
    return {
        "endings": list(loop.deployment.endings),
        "errors": list(loop.users.errors),
        "broken rules": [rule["name"] for rule in rules if rule["health"] == "err"],
        "recorded": running.ask("query", query="max(max_over_time(stream_omni:demand:streams[1h]))")["result"],
    }


def summary(run: Run) -> list[str]:
    """The numbers of docs/capacity.md, a line each."""
    moments_s, looks = run.moments_s, run.looks
    step_s = moments_s["more users"]
    starting, full = run.between("more users", "all ready"), run.between("all ready", "fewer users")
    left_after_s = moments_s["first leaves"] - moments_s["fewer users"]
    wanted = [look["wanted"] for look in looks]
    endings = [f"{ending.seconds:.0f} s (of {ending.allowed_s:.0f} s)" for ending in run.report["endings"]]
    return [
        f"from {FEW} to {MANY} users until all {MOST_REPLICAS} were ordered: {moments_s['all ordered'] - step_s:.1f} s",
        f"until all were ready: {moments_s['all ready'] - step_s:.0f} s; meanwhile refused: "
        f"{starting[-1]['refused'] - starting[0]['refused']}",
        f"starts: {', '.join(f'{start_s:.0f} s' for start_s in sorted(run.report['starts_s']))}",
        f"with all: refused {full[-1]['refused'] - full[len(full) // 2]['refused']} in the second half, streams "
        f"{full[-1]['demand']}",
        f"from {MANY} to {FEW} users until the first left: {left_after_s:.0f} s",
        f"changes: {[after - before for before, after in pairwise(wanted) if after != before]}",
        f"ends: {', '.join(endings)}",
        f"turns: {looks[-1]['done']} done, {looks[-1]['refused']} refused, {looks[-1]['dropped']} dropped",
        f"load of the machine in the last minute, five, fifteen: {os.getloadavg()}",
        *run.report["failures"],
    ]


def test_replicas_are_ordered_in_time_and_as_many_as_the_load_takes(run: Run) -> None:
    assert {look["wanted"] for look in run.looks if look["seconds"] < run.moments_s["more users"]} == {1}
    assert run.moments_s["all ordered"] - run.moments_s["more users"] < ORDERED_WITHIN_S
    assert max(sum(look["demand"].values()) for look in run.looks) >= MANY - 1  # and probes, which are turns as well


def test_replicas_answer_as_soon_as_they_have_started(run: Run) -> None:
    took_s = run.moments_s["all ready"] - run.moments_s["all ordered"]
    assert took_s < max(run.report["starts_s"]) + NOTICED_WITHIN_S


def test_with_all_replicas_nobody_is_refused_and_the_load_is_shared(run: Run) -> None:
    full = run.between("all ready", "fewer users")
    settled = full[len(full) // 2 :]  # a refused user comes back when he was told to
    assert settled[-1]["refused"] == settled[0]["refused"] and settled[-1]["waiting"] == 0
    of_each = [sum(look["demand"].get(f"omni-server-{n}", 0) for look in settled) for n in range(MOST_REPLICAS)]
    assert min(of_each) > 0.5 * max(of_each), of_each


def test_it_goes_up_once_and_down_once(run: Run) -> None:
    wanted = [look["wanted"] for look in run.looks]
    changes = [after - before for before, after in pairwise(wanted) if after != before]
    assert changes == sorted(changes, key=lambda change: change < 0), changes
    assert sum(change for change in changes if change > 0) == MOST_REPLICAS - 1
    assert [change for change in changes if change < 0] == [-1] * (MOST_REPLICAS - 1)  # one pod a period
    waited_s = run.moments_s["first leaves"] - run.moments_s["fewer users"]
    assert waited_s > 0.9 * WINDOW_S / SPEED


def test_no_turn_is_dropped_and_every_replica_ends_cleanly(run: Run) -> None:
    assert run.report["errors"] == [] and run.looks[-1]["dropped"] == 0, run.report["failures"]
    assert run.looks[-1]["done"] > 50
    endings = run.report["endings"]
    assert len(endings) == MOST_REPLICAS - 1 and all(ending.is_clean for ending in endings), endings


def test_keda_would_have_ordered_the_same_where_the_load_is_even(run: Run) -> None:
    quiet, full = run.between("first leaves", "end")[-3:], run.between("all ready", "fewer users")[-5:]
    assert {look["keda"] for look in quiet} == {1}
    assert {look["keda"] for look in full} == {MOST_REPLICAS}


def test_the_rules_were_read_and_record_what_is_asked_for(run: Run) -> None:
    assert run.report["broken rules"] == []
    ((_, recorded),) = [each["value"] for each in run.report["recorded"]]
    assert float(recorded) >= FEW


def test_the_picture_is_drawn(run: Run, tmp_path: Path) -> None:
    from tests.k8s.drawing import draw

    drawn = draw(run.looks, run.moments_s, SPEED, Path(os.environ.get("STREAM_OMNI_PICTURES", tmp_path)))
    assert 5_000 < drawn.stat().st_size < 200_000
