"""Pictures of an evaluation: how much was wrong, how soon it spoke, whether joins are heard, what speech looks like."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("agg")
mpl.rcParams["svg.hashsalt"] = "stream-omni"  # the same numbers give the same bytes
mpl.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot as plt  # noqa: E402 (the backend is chosen first)
from matplotlib.axes import Axes  # noqa: E402

from stream_omni_eval.asking import Turn  # noqa: E402

_SHOWN_ANSWERS = 6
_WINDOW, _STEP = 512, 128
_FLOOR_DB = -80.0


def draw(result: dict[str, Any], turns: Sequence[Turn], spoken: Sequence[Turn], out: Path) -> list[Path]:
    """Writes ``out``/quality.svg, and ``out``/spectrograms.png of the first ``spoken`` answers."""
    values, written = result["values"], [out / "quality.svg"]
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")
    _draw_errors(axes[0], values)
    _draw_first_audio(axes[1], turns, values)
    _draw_seams(axes[2], values.get("whole", {}))
    for each in axes:
        each.grid(alpha=0.3)
    figure.savefig(written[0], metadata={"Date": None})
    plt.close(figure)
    if spoken:
        written.append(out / "spectrograms.png")
        _draw_spectrograms(spoken[:_SHOWN_ANSWERS], written[-1])
    return written


def _draw_errors(axes: Axes, values: Any) -> None:
    found = {}
    for mode, entry in values["modes"].items():
        for group, part in entry["groups"].items():
            found[f"transcript, {group}"] = part["transcripts"]["wer"]
        found[mode] = entry.get("speech", {}).get("wer")
    found["in one piece"] = values.get("whole", {}).get("in_one_piece", {}).get("wer")
    found[f"{values.get('company', {}).get('streams')} at a time"] = (
        values.get("company", {}).get("speech", {}).get("wer")
    )
    found["source voice"] = values.get("source_voice", {}).get("wer")
    known = {name: 100 * rate for name, rate in found.items() if rate is not None}
    axes.barh(list(known), list(known.values()))
    axes.set_xlabel("wrong words, %")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)


def _draw_first_audio(axes: Axes, turns: Sequence[Turn], values: Any) -> None:
    """Of each mode the share of turns that have begun to speak by then."""
    for mode in values["modes"]:
        times = sorted(ms for t in turns if t.job.mode.name == mode and (ms := t.trace.first_ms("audio")) is not None)
        if times:
            axes.step(times, np.arange(1, len(times) + 1) / len(times), where="post", label=mode)
    axes.set_xlabel("first audio, ms after asking")
    axes.set_ylabel("share of the turns")
    axes.set_xlim(left=0)
    if axes.lines:
        axes.legend(fontsize=7)


def _draw_seams(axes: Axes, whole: Any) -> None:
    sides = {"streamed": whole.get("seams", {}), "in one piece": whole.get("same_places_in_one_piece", {})}
    for offset, (label, seams) in zip((-0.1, 0.1), sides.items(), strict=True):
        known = {name: entry for name, entry in seams.items() if entry.get("count")}
        spots = [i + offset for i in range(len(known))]
        ranks = [entry["rank"] for entry in known.values()]
        errors = [2 * entry["rank_error"] for entry in known.values()]
        axes.errorbar(ranks, spots, xerr=errors, fmt="o", ms=4, capsize=2, label=label)
        axes.set_yticks(range(len(known)), list(known), fontsize=7)
    axes.axvline(0.5, color="grey", ls="--", lw=1)
    axes.set_xlim(0, 1)
    axes.set_xlabel("rank of changes where pieces join (2 s.e.)")
    axes.legend(fontsize=7)


def _draw_spectrograms(turns: Sequence[Turn], path: Path) -> None:
    figure, axes = plt.subplots(len(turns), 1, figsize=(9, 1.7 * len(turns)), layout="constrained", squeeze=False)
    for each, turn in zip(axes[:, 0], turns, strict=True):
        if len(turn.samples) >= _WINDOW:
            samples = turn.samples.astype(np.float64) / 32768
            rows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_STEP] * np.hanning(_WINDOW)
            level_db = 20 * np.log10(np.abs(np.fft.rfft(rows)) / _WINDOW + 1e-6)
            top = level_db.max()
            extent = (0.0, len(samples) / turn.rate_hz, 0.0, turn.rate_hz / 2000)
            each.imshow(
                level_db.T, "magma", origin="lower", aspect="auto", extent=extent, vmin=top + _FLOOR_DB, vmax=top
            )
            for join in np.cumsum(turn.pieces)[:-1]:
                each.axvline(join / turn.rate_hz, color="white", lw=0.5, ls=":")
        each.set_title(turn.text[:110], fontsize=7, loc="left")
        each.set_ylabel("kHz", fontsize=7)
        each.tick_params(labelsize=6)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of an answer in another script
        figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
