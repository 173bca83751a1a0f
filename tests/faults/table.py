"""Writes the table of docs/reliability.md from what the fault tests saw: ``python -m tests.faults.table``."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.faults.seen import SEEN

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- table of faults: make test-faults -->\n", "<!-- end of the table -->\n"
_HEAD = (
    "| fault | injected | what the turns that ran ended with | clients told, after it was noticed | noticed after | "
    "all answers again after | lost |\n|---|---|---|---|---|---|---|\n"
)


def table(faults: Sequence[dict[str, Any]]) -> str:
    """Of the lines in ``seen.jsonl``, one row for each fault, target and company; times as median / longest."""
    rows: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    for fault in faults:
        rows[fault["fault"], fault["target"], fault.get("streams", 0)].append(fault)
    slowest = max((fault["slowness"] for fault in faults), default=1.0)
    processors = max((fault["processors"] for fault in faults), default=0)
    lines = [_row(how, target, same) for (how, target, _), same in rows.items()]
    fuzzed = [fault for fault in faults if fault["fault"].startswith("fuzzing")]
    broken = [fault for fault in faults if fault not in fuzzed]
    note = (
        f"\n{_cases(broken):,} faults and {_cases(fuzzed):,} fuzzed inputs on {processors} processors, where computing "
        f"took up to {slowest:.1f} times as long as on an idle machine. Times are median / longest.\n"
    )
    return _HEAD + "".join(lines) + note


def _row(how: str, target: str, faults: Sequence[dict[str, Any]]) -> str:
    """Of faults under as many streams."""
    when, streams = Counter(fault["when"] for fault in faults), faults[0].get("streams", 0)
    under = f"; under {streams} stream{'s' * (streams > 1)}" if streams else ""
    phases = ", ".join(f"{count} {name}" for name, count in when.items())
    endings = sum((Counter(fault["endings"]) for fault in faults), Counter[str]())
    fell = sum(fault["server_fell"] for fault in faults)
    cells = [
        f"{how}, `{target}`",
        f"{_cases(faults):,} ({phases}{under})" + (f"; {fell} took tritonserver along" if fell else ""),
        ", ".join(f"{ending} {count}" for ending, count in endings.items()) or "none ran",
        _seconds(fault["told_after_notice_s"] for fault in faults),
        _seconds(fault["noticed_s"] for fault in faults),
        _seconds(fault["recovered_s"] for fault in faults),
        _lost(faults),
    ]
    return f"| {' | '.join(cells)} |\n"


def _lost(faults: Sequence[dict[str, Any]]) -> str:
    """A dash for what was not looked at each time."""
    found = {name: [fault[name] for fault in faults] for name in ("leaked", "orphans", "wrong")}
    totals = {name: None if None in each else sum(each) for name, each in found.items()}
    if len(set(totals.values())) == 1 and not any(totals.values()):
        return "-" if None in totals.values() else "nothing"
    return ", ".join(f"{name} {'-' if total is None else f'{total:g}'}" for name, total in totals.items())


def _cases(faults: Sequence[dict[str, Any]]) -> int:
    return sum(fault.get("cases", 1) for fault in faults)


def _seconds(times: Any) -> str:
    known = [time_s for time_s in times if time_s is not None]
    return f"{median(known):.1f} / {max(known):.1f} s" if known else "-"


def main() -> None:
    faults = [json.loads(line) for line in SEEN.read_text(encoding="utf-8").splitlines()]
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + table(faults) + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
