"""What a Prometheus rule is, and the groups of them as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

RUNBOOKS = "RUNBOOKS_URL"  # stands for the address of docs/runbooks, which the chart fills in

Severity = Literal["critical", "warning", "none"]  # wake somebody; look at it today; for machines


@dataclass(frozen=True)
class Record:
    """A series of its own, evaluated ahead: ``name`` says level, metric and operation."""

    name: str
    expression: str

    def entry(self) -> dict[str, Any]:
        return {"record": self.name, "expr": self.expression}


@dataclass(frozen=True)
class Alert:
    """``held`` for so long, the ``expression`` has a value: ``description`` tells it, with its unit."""

    name: str
    expression: str
    held: str
    severity: Severity
    summary: str
    description: str
    runbook: str  # its page, without the ending

    def entry(self) -> dict[str, Any]:
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.held,
            "labels": {"severity": self.severity, "app": "stream-omni"},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS}/{self.runbook}.md",
            },
        }


@dataclass(frozen=True)
class Group:
    name: str
    interval: str
    rules: Sequence[Record | Alert]

    def entry(self) -> dict[str, Any]:
        return {"name": self.name, "interval": self.interval, "rules": [rule.entry() for rule in self.rules]}
