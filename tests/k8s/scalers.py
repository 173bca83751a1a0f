"""What the chart's objects make the autoscaler ask of Prometheus, and what it proposes after the answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import yaml

from tests.helm.chart import NAMESPACE, Manifest, Rendered
from tests.k8s.autoscaler import NoMetric, Pod, proposed_for_pods, proposed_for_total
from tests.monitoring.prometheus_process import Prometheus


@dataclass(frozen=True)
class PodMetric:
    """One of the HorizontalPodAutoscaler, through prometheus-adapter's rule of that name."""

    query: str
    target: float

    def propose(self, prometheus: Prometheus, pods: Collection[Pod], current: int) -> int | None:
        """None where there is no metric."""
        try:
            return proposed_for_pods(self.values(prometheus, pods), pods, current, self.target)
        except NoMetric:
            return None

    def values(self, prometheus: Prometheus, pods: Collection[Pod]) -> dict[str, float]:
        """By pod. The adapter fills in the pods' names and asks for all at once."""
        names = "|".join(sorted(pod.name for pod in pods))
        query = self.query.replace("<<.GroupBy>>", "pod")
        query = query.replace("<<.LabelMatchers>>", f'namespace="{NAMESPACE}",pod=~"{names}"')
        return {each["metric"]["pod"]: float(each["value"][1]) for each in _ask(prometheus, query)}


@dataclass(frozen=True)
class Trigger:
    """One of KEDA's ScaledObject, which becomes a metric of type External."""

    query: str
    target: float

    def propose(self, prometheus: Prometheus, current: int) -> int | None:
        found = _ask(prometheus, self.query)
        assert len(found) <= 1, f"KEDA wants one number, got {found}"
        return proposed_for_total(float(found[0]["value"][1]), current, self.target) if found else None


def pod_metrics(rendered: Rendered) -> list[PodMetric]:
    (adapter,) = [each for each in rendered.of("ConfigMap") if each["metadata"]["name"].endswith("-adapter-rules")]
    rules = {each["name"]["as"]: each for each in yaml.safe_load(adapter["data"]["config.yaml"])["rules"]}
    metrics = [metric["pods"] for metric in _autoscaler(rendered)["spec"]["metrics"]]
    return [
        PodMetric(rules[metric["metric"]["name"]]["metricsQuery"], float(metric["target"]["averageValue"]))
        for metric in metrics
    ]


def triggers(rendered: Rendered) -> list[Trigger]:
    found = [trigger["metadata"] for trigger in rendered.one("ScaledObject")["spec"]["triggers"]]
    return [Trigger(each["query"], float(each["threshold"])) for each in found]


def keda_limits(rendered: Rendered) -> Manifest:
    """The spec of the HorizontalPodAutoscaler that KEDA makes of its object, without the metrics."""
    spec = rendered.one("ScaledObject")["spec"]
    limits = {"minReplicas": spec["minReplicaCount"], "maxReplicas": spec["maxReplicaCount"]}
    return limits | spec["advanced"]["horizontalPodAutoscalerConfig"]


def _autoscaler(rendered: Rendered) -> Manifest:
    return rendered.one("HorizontalPodAutoscaler")


def _ask(prometheus: Prometheus, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = prometheus.ask("query", query=query)["result"]
    return found
