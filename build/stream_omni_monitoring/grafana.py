"""Dashboards as Grafana reads them (10.4 and newer), as plain JSON: what is not said here is Grafana's own default."""

from __future__ import annotations

import itertools
from typing import Any

from stream_omni_monitoring.panels import Curve, Dashboard, Panel

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA = 39  # Grafana 10.4's; newer ones migrate it
_COLUMNS = 24
_HEIGHT = 8
_GREEN, _RED = "green", "red"


def dashboard_of(told: Dashboard) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    numbers, top = itertools.count(1), 0
    for row in told.rows:
        panels.append(_row_header(next(numbers), row.title, top))
        left, top = 0, top + 1
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                left, top = 0, top + _HEIGHT
            panels.append(_panel(next(numbers), panel, left, top))
            left += panel.width
        top += _HEIGHT
    return {
        "uid": told.uid,
        "title": told.title,
        "description": told.description,
        "tags": ["stream-omni"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,  # one cross hair for all
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_choose_source(), *_choices(told.reference)]},
        "panels": panels,
    }


def _row_header(number: int, title: str, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": place}


def _panel(number: int, panel: Panel, left: int, top: int) -> dict[str, Any]:
    is_number = panel.kind == "number"
    return {
        "id": number,
        "type": "stat" if is_number else "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": _HEIGHT},
        "targets": [_target(chr(ord("A") + place), curve) for place, curve in enumerate(panel.curves)],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": _thresholds(panel), **_look(panel)},
            "overrides": [_dashes(curve.legend) for curve in panel.curves if curve.dashed],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if is_number else _legend_and_tooltip(),
    }


def _target(letter: str, curve: Curve) -> dict[str, Any]:
    return {"refId": letter, "datasource": _SOURCE, "expr": curve.query, "legendFormat": curve.legend, "range": True}


def _look(panel: Panel) -> dict[str, Any]:
    if panel.kind == "number":
        return {}
    stack = panel.kind == "stack"
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 40 if stack else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stack else "none"},
        "thresholdsStyle": {"mode": "off" if panel.limit is None else "dashed"},
    }
    return {"custom": custom}


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": _GREEN, "value": None}]
    if panel.limit is not None:
        steps.append({"color": _RED, "value": panel.limit})
    return {"mode": "absolute", "steps": steps}


def _dashes(legend: str) -> dict[str, Any]:
    """Of curves whose legend is like ``legend``, whatever its labels are."""
    words = "".join(".*" if place % 2 else part for place, part in enumerate(legend.replace("}}", "{{").split("{{")))
    dash = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [6, 6]}}
    return {"matcher": {"id": "byRegexp", "options": f"/^{words}$/"}, "properties": [dash]}


def _legend_and_tooltip() -> dict[str, Any]:
    legend = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _choose_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _choices(reference: str) -> list[dict[str, Any]]:
    """Each among those of the choice before it; "all" also finds series without the label."""
    made: list[dict[str, Any]] = []
    known: list[str] = []
    for label in ("namespace", "release", "pod"):
        query = f"label_values({reference}{{{', '.join(known)}}}, {label})"
        choice = {"name": label, "type": "query", "datasource": _SOURCE, "query": {"query": query, "refId": label}}
        everything = {
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }
        made.append({**choice, **everything, "refresh": 2, "sort": 1})
        known.append(f'{label}=~"${label}"')
    return made
