"""Result files: what was measured, with all that it takes to measure it again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_omni_eval.percentiles import rounded

from benchmarks.machine import ROOT, command_line, describe_commit, describe_machine

FOLDER = ROOT / "benchmarks" / "results"

Values = dict[str, Any]


def record(name: str, parameters: Values, measure: Callable[[], Values], folder: Path) -> Path:
    """Run ``measure`` and write what it returns to ``folder``/``name``.json."""
    about: Values = {"measurement": name, "began": datetime.now(UTC).isoformat(timespec="seconds")}
    about |= {"command": command_line(), **describe_commit(), "machine": describe_machine(), "parameters": parameters}
    began_s = time.monotonic()
    values = measure()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = about | {"seconds": round(time.monotonic() - began_s, 1), "values": rounded(values)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(folder: Path) -> dict[str, Any]:
    """All result files by the measurement's name."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json")))
    return {result["measurement"]: result for result in found}
