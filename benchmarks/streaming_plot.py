"""The picture of a ``streaming`` result: what a sooner first sound costs, and whether seams stand out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import benchmarks.plots  # noqa: F401 (settles how files are written)

Found = dict[str, Any]

_CHANGES = ("energy_step_db", "flux", "kink")


def draw(result: Found, path: Path) -> Path:
    """Writes ``path``, SVG or another format by its ending."""
    values = result["values"]
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")
    _draw_distances(axes[0], values["ideal flow"])
    _draw_steps(axes[1], values["ideal flow"])
    _draw_ranks(axes[2], {name: values[name] for name in ("fixtures", "random tiny")})
    for each in axes[:2]:
        each.set_xlabel("units before the first sound (of 40 ms)")
    for each in axes:
        each.grid(alpha=0.3)
    figure.text(0.99, 0.003, f"commit {result['commit'][:10]}", ha="right", va="bottom", fontsize=6, color="grey")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=130)
    plt.close(figure)
    return path


def _draw_distances(axes: Axes, values: Found) -> None:
    _draw_settings(axes, values, lambda found: found["flow_mel_db"]["mean"])
    axes.axhline(values["scale_db"]["another seed"], color="grey", ls="--", lw=1, label="another seed, all at once")
    axes.set_title("ideal flow: streamed from offline mel", fontsize=9)
    axes.set_ylabel("dB, mean over frames")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)


def _draw_steps(axes: Axes, values: Found) -> None:
    _draw_settings(axes, values, _excess)
    axes.axhline(0, color="grey", ls="--", lw=1)
    axes.set_title("ideal flow: the mel's steps where chunks blend", fontsize=9)
    axes.set_ylabel("mean rank, above the whole's at the same places")


def _excess(found: Found) -> float:
    excess: float = found["mel_step_at_blends"]["rank"] - found["mel_step_there_in_the_whole"]["rank"]
    return excess


def _draw_settings(axes: Axes, values: Found, pick: Callable[[Found], Any]) -> None:
    for told, marker, label in ((True, "o", "told its settled frames"), (False, "x", "not told")):
        chosen = [found for found in values["settings"] if found["setting"]["conditioned"] == told]
        axes.plot([f["first_needs_units"] for f in chosen], [pick(f) for f in chosen], marker, ms=4, label=label)
    default = values["settings"][0]
    axes.plot(default["first_needs_units"], pick(default), "o", ms=11, mfc="none", color="tab:red", label="the default")


def _draw_ranks(axes: Axes, subjects: Found) -> None:
    """Of the default schedule, at the seams of samples and where mels blend."""
    labels = [f"{change.split('_')[0]}, {place[3:-1]}" for place in ("at_seams", "at_blends") for change in _CHANGES]
    for offset, (name, values) in zip((-0.12, 0.12), subjects.items(), strict=True):
        default = values["settings"][0]
        found = [default[place][change] for place in ("at_seams", "at_blends") for change in _CHANGES]
        spots = [i + offset for i in range(len(found))]
        ranks, errors = [f["rank"] for f in found], [2 * f["rank_error"] for f in found]
        axes.errorbar(ranks, spots, xerr=errors, fmt="o", ms=4, capsize=2, label=f"{name} weights")
    axes.axvline(0.5, color="grey", ls="--", lw=1)
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_xlabel("mean rank among the signal's own changes (2 s.e.)")
    axes.set_title("waveform of the default schedule", fontsize=9)
    axes.legend(fontsize=7)
