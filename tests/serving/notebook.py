"""A recorder that keeps what it is told, for tests."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from stream_omni.serving.metrics import Metric

Key = tuple[str, ...]  # a metric's name, then the values of its labels in the table's order


@dataclass
class Notebook:
    counted: defaultdict[Key, float] = field(default_factory=lambda: defaultdict(float))
    gauges: dict[Key, float] = field(default_factory=dict)
    observed: defaultdict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        assert metric.kind == "counter"
        self.counted[key(metric, **labels)] += amount

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        assert metric.kind == "gauge"
        self.gauges[key(metric, **labels)] = value

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        assert metric.kind == "histogram"
        self.observed[key(metric, **labels)].append(value)

    def close(self) -> None: ...


def key(metric: Metric, **labels: str) -> Key:
    """Fails for labels or values that the table does not have."""
    assert labels.keys() == metric.labels.keys()
    for name, value in labels.items():
        assert value in metric.labels[name], (metric.name, name, value)
    return (metric.name, *(labels[name] for name in metric.labels))
