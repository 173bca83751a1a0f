"""The metrics on Triton's own /metrics page."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb

from stream_omni.serving.metrics import METRICS, Metric

_Change = tuple[Any, str, float]  # one of Triton's metrics, its method, the value


class TritonRecorder:
    """Of one stage's process: sets what the table says that ``stage`` sets, each from its start, and the gauges of
    ``others``, which have processes of their own.

    Telling Triton is a message to another process, 20 microseconds and many more when the interpreter is busy; so a
    thread does it, in order. Processes that make a family of the same name share it.
    """

    def __init__(self, stage: str, others: Sequence[str] = ()) -> None:
        self._families: list[Any] = []  # must outlive their metrics
        self._children: dict[tuple[str, frozenset[tuple[str, str]]], Any] = {}
        for metric in METRICS:
            stages = [stage, *others] if metric.kind == "gauge" else [stage]
            if mine := [each for each in stages if each in metric.stages]:
                self._create(metric, mine)
        self._changes: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="metrics")
        self._thread.start()

    def add(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        self._change(metric, "increment", amount, labels)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        self._change(metric, "set", value, labels)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        self._change(metric, "observe", value, labels)

    def close(self) -> None:
        """Returns when all that was recorded has reached Triton."""
        self._changes.put(None)
        self._thread.join()

    def _create(self, metric: Metric, stages: Sequence[str]) -> None:
        family = pb.MetricFamily(metric.name, metric.help, getattr(pb.MetricFamily, metric.kind.upper()))
        self._families.append(family)
        names, buckets = list(metric.labels), {"buckets": list(metric.buckets)} if metric.buckets else {}
        choices = [stages if name == "stage" else values for name, values in metric.labels.items()]
        for values in itertools.product(*choices):
            labels = dict(zip(names, values, strict=True))
            self._children[metric.name, frozenset(labels.items())] = family.Metric(labels=labels, **buckets)

    def _change(self, metric: Metric, method: str, value: float, labels: dict[str, str]) -> None:
        self._changes.put((self._children[metric.name, frozenset(labels.items())], method, value))

    def _work(self) -> None:
        while (change := self._changes.get()) is not None:
            child, method, value = change
            try:
                getattr(child, method)(value)
            except Exception as error:
                pb.Logger.log_warn(f"a metric could not be recorded: {error}")
