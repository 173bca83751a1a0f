"""The supervisor's own metrics, for Prometheus: they outlive a server that ended, and tell of it."""

from __future__ import annotations

from collections.abc import Mapping

from stream_omni.serving.metrics import BROKEN, READY, RECOVERIES, SUPERVISED_SECONDS, Metric
from stream_omni.serving.supervisor import Supervisor

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page_of(supervisor: Supervisor) -> str:
    """In Prometheus' text format. Asks nobody, so it answers while the server hangs."""
    mended, broken = supervisor.mended, supervisor.broken
    families = (
        _family(READY, {"": float(supervisor.is_ready)}),
        _family(BROKEN, {_what(name): float(name in broken) for name in mended}),
        _family(RECOVERIES, {_what(name): float(count) for name, count in mended.items()}),
        _family(SUPERVISED_SECONDS, {"": supervisor.supervised_s}),
    )
    return "".join(families)


def _family(metric: Metric, values: Mapping[str, float]) -> str:
    lines = [f"{metric.name}{labels} {value!r}" for labels, value in values.items()]
    return "\n".join([f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *lines, ""])


def _what(name: str) -> str:
    return f'{{what="{name}"}}'
