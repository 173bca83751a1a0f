"""What a panel shows, apart from how Grafana writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["s", "percentunit", "short", "reqps", "bytes", "Bps", "watt", "bool"]  # as Grafana names them
Kind = Literal["lines", "stack", "number"]


@dataclass(frozen=True)
class Curve:
    """``legend`` may hold labels, as `{{pod}}`. ``dashed``: a limit, not a measurement."""

    query: str
    legend: str
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """``width`` of a row's 24 columns. ``limit``: where it begins to be bad."""

    title: str
    description: str
    unit: Unit
    curves: Sequence[Curve]
    kind: Kind = "lines"
    width: int = 8
    limit: float | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """``uid`` is its address in Grafana; ``reference`` a metric whose labels fill the choices at its top."""

    uid: str
    title: str
    description: str
    reference: str
    rows: Sequence[Row]
