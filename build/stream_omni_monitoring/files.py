"""The files that the chart and other Prometheuses take, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from stream_omni_monitoring import alerts, recording
from stream_omni_monitoring.dashboards import dashboards
from stream_omni_monitoring.grafana import dashboard_of
from stream_omni_monitoring.objectives import Objective
from stream_omni_monitoring.rules import RUNBOOKS, Group

_WRITTEN = "# Written by python -m stream_omni_monitoring; change it there.\n"


def files(objective: Objective, runbooks_url: str = RUNBOOKS) -> Mapping[str, str]:
    """By their paths within the chart."""
    shown = {f"dashboards/{told.uid}.json": _json(dashboard_of(told)) for told in dashboards(objective)}
    rules = {
        "rules/recording.yaml": _yaml(recording.groups(objective)),
        "rules/alerts.yaml": _yaml(alerts.groups(objective)).replace(RUNBOOKS, runbooks_url),
    }
    return shown | rules


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _yaml(groups: list[Group]) -> str:
    content = {"groups": [group.entry() for group in groups]}
    return _WRITTEN + yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True)
