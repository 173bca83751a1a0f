"""A real Prometheus with the chart's PodMonitors and rules, as its operator would configure it; only addresses differ,
and it looks more often by the factor by which the stand's time passes faster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helm.chart import NAMESPACE, Manifest, Rendered
from tests.k8s import addresses
from tests.monitoring.prometheus_process import Prometheus, prometheus_at

_PORT = 9090


@contextmanager
def prometheus(
    programs: Path, folder: Path, rendered: Rendered, pods: Mapping[str, Mapping[str, str]], speed: float
) -> Iterator[Prometheus]:
    """``pods``: of a component, addresses by name."""
    rules = folder / "rules.yml"
    rules.write_text(json.dumps(rendered.one("PrometheusRule")["spec"]))  # JSON is YAML
    jobs = [_job(monitor, rendered, pods, speed) for monitor in rendered.of("PodMonitor")]
    configuration = {"rule_files": [str(rules)], "scrape_configs": jobs}
    with prometheus_at(f"{addresses.OF_PROMETHEUS}:{_PORT}", programs, folder, configuration) as running:
        yield running


def _job(monitor: Manifest, rendered: Rendered, pods: Mapping[str, Mapping[str, str]], speed: float) -> dict[str, Any]:
    component = monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    port = rendered.port(component, endpoint["port"])
    interval_s = float(endpoint["interval"].removesuffix("s")) / speed
    return {
        "job_name": monitor["metadata"]["name"],
        "metrics_path": endpoint["path"],
        "scrape_interval": f"{round(1000 * interval_s)}ms",
        "scrape_timeout": f"{round(1000 * interval_s)}ms",
        "static_configs": [
            {"targets": [f"{address}:{port}"], "labels": {"namespace": NAMESPACE, "pod": name}}
            for name, address in pods[component].items()
        ],
        "relabel_configs": [
            {"target_label": each["targetLabel"], "replacement": each["replacement"], "action": each["action"]}
            for each in endpoint["relabelings"]
        ],
    }
