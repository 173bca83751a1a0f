"""What a server's /metrics say, read by who started it."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException

from stream_omni.serving.metrics import FRONT_DOOR, STAGE_SECONDS, STREAMS_ACTIVE, STREAMS_WAITING, Metric

_LINE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_LOOK_TIMEOUT_S = 2.0


class MetricsPage:
    """One look. Raises OSError where none is to be had."""

    def __init__(self, metrics_url: str) -> None:
        try:
            with urllib.request.urlopen(f"http://{metrics_url}/metrics", timeout=_LOOK_TIMEOUT_S) as page:
                text = page.read().decode()
        except HTTPException as error:  # the server ended in the middle of its answer
            raise OSError(f"half an answer: {error}") from error
        self._values = {
            (line["name"], frozenset(_LABEL.findall(line["labels"] or ""))): float(line["value"])
            for line in _LINE.finditer(text)
        }

    @property
    def turns(self) -> tuple[int, int]:
        """Streamed turns that run, and that wait for a place."""
        return int(self._value(STREAMS_ACTIVE, stage=FRONT_DOOR)), int(self._value(STREAMS_WAITING))

    def work_done(self) -> Mapping[str, float]:
        """By stage: how often it has finished a piece of work since its process began."""
        return {stage: self._done(stage) for stage in STAGE_SECONDS.labels["stage"]}

    def _done(self, stage: str) -> float:
        """By our own count; by Triton's of a stage that has no process, because Triton runs its plan by itself (of
        others Triton counts what has been taken in, which says nothing of a stage that hangs)."""
        own = self._values.get((f"{STAGE_SECONDS.name}_count", frozenset({("stage", stage)})))
        labels = frozenset({("model", stage), ("version", "1")})
        return self._values.get(("nv_inference_request_success", labels), 0.0) if own is None else own

    def _value(self, metric: Metric, part: str = "", **labels: str) -> float:
        """0 for a stage that has no process yet."""
        return self._values.get((metric.name + part, frozenset(labels.items())), 0.0)
