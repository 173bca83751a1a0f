"""The picture of an ``endurance`` result: what the server held over time, and how far that rose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

import benchmarks.plots  # noqa: F401 (settles how files are written)
from benchmarks.holdings import KINDS, WARM_UP_SHARE

_LABELS = {
    "resident_mb": "resident memory, MB",
    "open_handles": "open handles",
    "shared_mb": "shared memory, MB",
    "places_taken": "turns and slots in use",
}


def draw(result: dict[str, Any], path: Path) -> Path:
    """Writes ``path``."""
    values, machine = result["values"], result["machine"]
    minutes = [second / 60 for second in values["held"]["seconds"]]
    figure, panels = plt.subplots(2, 2, figsize=(9.6, 5.4), layout="constrained", sharex=True)
    for axes, kind in zip(panels.flat, KINDS, strict=True):
        axes.plot(minutes, values["held"][kind], lw=0.8)
        axes.axvspan(0, minutes[int(len(minutes) * WARM_UP_SHARE)], color="grey", alpha=0.15, lw=0)
        axes.set_ylabel(_LABELS[kind])
        axes.set_ylim(bottom=0)
        axes.set_title(f"growth {values['growth'][kind]:+.1%}, without the warm-up", fontsize=8)
        axes.grid(alpha=0.3)
    for axes in panels[1]:
        axes.set_xlabel("minutes")
    endings = ", ".join(f"{count} {ending}" for ending, count in values["endings"].items())
    source = f"{endings}; {machine['processor']}, {machine['cores']} cores, commit {result['commit'][:10]}"
    figure.text(0.99, 0.003, source, ha="right", va="bottom", fontsize=6, color="grey")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
