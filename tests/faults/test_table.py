"""The table says of no fault what nobody looked at."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tests.faults.seen import Fault
from tests.faults.table import table


def line(fault: str, cases: int = 1, **lost: int) -> dict[str, Any]:
    return asdict(Fault(fault, "llm", "idle", 1.0, cases=cases, **lost)) | {"processors": 2}  # type: ignore[arg-type]


def lost(*lines: dict[str, Any]) -> str:
    row = table(lines).splitlines()[2]
    return row.rpartition(" | ")[2].removesuffix(" |")


def test_nothing_is_said_of_what_was_not_looked_at() -> None:
    whole = {"leaked": 0, "orphans": 0, "wrong": 0}
    assert lost(line("kill -9")) == "-"
    assert lost(line("kill -9", **whole)) == "nothing"
    assert lost(line("kill -9", **whole), line("kill -9")) == "-"
    assert lost(line("kill -9", orphans=0)) == "leaked -, orphans 0, wrong -"
    assert (
        lost(line("kill -9", **whole), line("kill -9", leaked=2, orphans=0, wrong=1)) == "leaked 2, orphans 0, wrong 1"
    )


def test_fuzzed_inputs_are_no_faults() -> None:
    lines = [line("kill -9"), line("clients", 200), line("fuzzing requests", 10_000)]
    assert "\n201 faults and 10,000 fuzzed inputs on 2 processors" in table(lines)
