"""Plots of the result files, as SVG beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "stream-omni"  # the same numbers give the same bytes
mpl.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot as plt  # noqa: E402 (the backend is chosen first)
from matplotlib.axes import Axes  # noqa: E402

_REAL_TIME_HZ = 25


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """One file for each measurement that has a plot. Returns what was written."""
    written = []
    for name, plot in _PLOTS.items():
        if name in results:
            figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
            plot(axes, results[name]["values"])
            axes.grid(alpha=0.3)
            machine = results[name]["machine"]
            source = f"{machine['processor']}, {machine['cores']} cores, commit {results[name]['commit'][:10]}"
            figure.text(0.99, 0.005, source, ha="right", va="bottom", fontsize=6, color="grey")
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None})
            plt.close(figure)
            written.append(path)
    return written


def _streams(axes: Axes, values: Any) -> None:
    levels = {int(n): level for n, level in values["levels"].items()}
    counts = sorted(levels)
    total = [sorted(levels[n]["unit_rate_hz"])[len(levels[n]["unit_rate_hz"]) // 2] for n in counts]
    axes.plot(counts, total, "o-", label="units a second, all streams")
    axes.plot(counts, [_REAL_TIME_HZ * n for n in counts], ":", color="grey", label="needed to keep up with real time")
    _by_streams(axes, counts, "speech units a second")
    late = axes.twinx()
    for share, style in (("p50", "s-"), ("p95", "s--")):
        firsts = [levels[n]["first_audio_ms"][share] / 1000 for n in counts]
        late.plot(counts, firsts, style, color="tab:red", label=f"first audio, {share}")
    late.set_ylabel("seconds")
    late.set_ylim(bottom=0)
    handles = [*axes.get_legend_handles_labels()[0], *late.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, fontsize=7, loc="upper left")


def _by_streams(axes: Axes, counts: list[int], label: str) -> None:
    axes.set_xlabel("streams at once")
    axes.set_xticks(counts)
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)


def _arrivals(axes: Axes, values: Any) -> None:
    loads = {float(load): found for load, found in values["loads"].items()}
    for kind in ("first_transcript_ms", "first_text_ms", "first_audio_ms"):
        for share, style in (("p50", "o-"), ("p95", "o--")):
            seconds = [(loads[load][kind][share] or 0) / 1000 for load in sorted(loads)]
            axes.plot(sorted(loads), seconds, style, label=f"{kind[:-3].replace('_', ' ')}, {share}")
    axes.set_xlabel("arrivals, as a share of what the server can do")
    axes.set_ylabel("seconds")
    axes.legend(fontsize=7)


def _growth(axes: Axes, values: Any) -> None:
    times = values["unit_ms_by_position"]
    positions = [(i + 0.5) * values["units"] / len(times) for i in range(len(times))]
    axes.plot(positions, times)
    axes.set_xlabel("unit of the answer")
    axes.set_ylabel("ms a unit")
    axes.set_ylim(bottom=0)


def _cancelling(axes: Axes, values: Any) -> None:
    axes.plot(values["cancelled_after_s"], values["free_ms_of_each"], ".")
    axes.set_xlabel("cancelled after, seconds")
    axes.set_ylabel("places free after, ms")
    axes.set_ylim(bottom=0)


def _soak(axes: Axes, values: Any) -> None:
    axes.plot(*zip(*values["resident_mb"], strict=True))
    axes.set_xlabel("seconds")
    axes.set_ylabel("resident memory of the server, MB")
    axes.set_ylim(bottom=0)


def _reference(axes: Axes, values: Any) -> None:
    rows = [
        ("a unit", values["question"]["unit_ms"]),
        ("the first unit", values["question"]["first_unit_ms"]),
        ("the first unit, with a picture", values["question with a picture"]["first_unit_ms"]),
    ]
    for offset, side in ((0.2, "reference"), (-0.2, "ours")):
        axes.barh([i + offset for i in range(len(rows))], [row[1][side]["p50"] for row in rows], 0.35, label=side)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_xscale("log")
    axes.set_xlabel("ms, one thread")
    axes.legend(fontsize=7)


def _work(axes: Axes, values: Any) -> None:
    levels = values["streams"]
    names = list(levels[max(levels, key=int)]["cpu_ms_a_unit"])
    left = dict.fromkeys(levels, 0.0)
    for name in names:
        widths = [levels[n]["cpu_ms_a_unit"].get(name, 0.0) for n in levels]
        axes.barh([f"{n} streams" for n in levels], widths, 0.6, left=list(left.values()), label=name)
        left = {n: left[n] + width for n, width in zip(levels, widths, strict=True)}
    for n in levels:  # what the cores have for a unit while it plays
        y = list(levels).index(n)
        budget_ms = 1000 * values["cores"] / _REAL_TIME_HZ / int(n)
        axes.plot([budget_ms, budget_ms], [y - 0.4, y + 0.4], "k:", label="real time" if y == 0 else None)
    axes.set_xlabel("ms of processor time a unit")
    axes.legend(fontsize=6, ncols=2)


def _capacity(axes: Axes, values: Any) -> None:
    levels = {int(n): level for n, level in values["levels"].items()}
    counts = sorted(levels)
    for share, style in (("p50", "o-"), ("p95", "s--")):
        seconds = [(levels[n]["first_audio_ms"][share] or 0) / 1000 for n in counts]
        axes.plot(counts, seconds, style, label=f"first audio, {share}")
    _by_streams(axes, counts, "seconds")
    if values["capacity"]:
        axes.axvline(values["capacity"], color="tab:green", label=f"capacity: {values['capacity']} streams")
        axes.axvline(
            values["scaling_target"], color="grey", ls=":", label=f"scaling target: {values['scaling_target']}"
        )
    shares = axes.twinx()
    for name, words, style in (("in_time", "in time", "^-"), ("gapless", "without a gap", "v-")):
        colour = "tab:purple" if name == "in_time" else "tab:red"
        percent = [100 * levels[n][name] for n in counts]
        shares.plot(counts, percent, style, lw=0.8, ms=4, color=colour, label=f"turns {words} (right)")
    shares.set_ylim(0, 105)
    shares.set_ylabel("% of turns")
    handles = [*axes.get_legend_handles_labels()[0], *shares.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.01), ncols=3, frameon=False)


_PLOTS: dict[str, Callable[[Axes, Any], None]] = {
    "streams": _streams,
    "arrivals": _arrivals,
    "growth": _growth,
    "cancelling": _cancelling,
    "soak": _soak,
    "reference": _reference,
    "work": _work,
    "capacity": _capacity,
}
