"""Pictures of dashboards, drawn from what Prometheus answered: for people who want to see, and for whom no
Grafana runs."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

Answers = Mapping[str, Sequence[Mapping[str, Any]]]  # by panel and curve ("12A"): series as Prometheus gives them

_PAPER, _PANEL, _TEXT, _FAINT, _GRID = "#111217", "#181b1f", "#ccccdc", "#8e8e9c", "#2c3235"
_COLOURS = (
    *("#73bf69", "#5794f2", "#f2cc0c", "#ff780a", "#b877d9", "#f2495c", "#2fc8c8", "#ffa6d0"),
    *("#a3772a", "#e0f06a", "#1f60c4", "#c4162a", "#37872d", "#8f3bb8", "#c8c8c8", "#ffd98d"),
)
_LIMIT = "#f2495c"
_COLUMN_INCHES, _PANEL_INCHES, _HEADER_INCHES, _FOOTER_INCHES = 0.6, 2.75, 0.55, 0.3
_SHOWN_CURVES = 12
_LEGEND_POINTS = 6.8
_LETTER_INCHES = 0.65 * _LEGEND_POINTS / 72  # of the font, on average
_DPI = 100


def draw_rows(dashboard: Mapping[str, Any], answers: Answers, note: str, folder: Path) -> list[Path]:
    """A picture for each row, ``folder``/UID-NUMBER.png. ``note`` stands below each."""
    rows: list[tuple[str, list[Mapping[str, Any]]]] = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
        else:
            rows[-1][1].append(panel)
    written = []
    for number, (title, panels) in enumerate(rows, 1):
        figure = _draw_row(title, panels, answers, note)
        written.append(folder / f"{dashboard['uid']}-{number}.png")
        _save(figure, written[-1])
    return written


def _draw_row(title: str, panels: Sequence[Mapping[str, Any]], answers: Answers, note: str) -> Figure:
    top = min(panel["gridPos"]["y"] for panel in panels)
    bands = sorted({panel["gridPos"]["y"] for panel in panels})
    width, height = 24 * _COLUMN_INCHES, _HEADER_INCHES + len(bands) * _PANEL_INCHES + _FOOTER_INCHES
    figure = new_figure(width, height)
    figure.text(0.012, 1 - 0.3 / height, f"⌄  {title}", color=_TEXT, size=13, weight="bold", va="center")
    figure.text(0.012, 0.13 / height, note, color=_FAINT, size=8, va="center")
    for panel in panels:
        place = panel["gridPos"]
        band = (place["y"] - top) // place["h"]
        bottom = height - _HEADER_INCHES - (band + 1) * _PANEL_INCHES
        _draw_panel(figure, panel, answers, place["x"] * _COLUMN_INCHES, bottom, place["w"] * _COLUMN_INCHES)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """In inches. With a canvas of its own: pyplot's is whatever else in this process asked for, and texts are then as
    wide as on that."""
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    return figure


def _draw_panel(
    figure: Figure, panel: Mapping[str, Any], answers: Answers, left: float, bottom: float, width: float
) -> None:
    """All in inches."""
    gap, (whole_width, whole_height) = 0.06, figure.get_size_inches()
    frame = (left + gap, bottom + gap, width - 2 * gap, _PANEL_INCHES - 2 * gap)
    scale = (1 / whole_width, 1 / whole_height, 1 / whole_width, 1 / whole_height)
    box = tuple(length * by for length, by in zip(frame, scale, strict=True))
    behind = {"facecolor": _PANEL, "edgecolor": _GRID, "transform": figure.transFigure, "zorder": -1}
    figure.add_artist(Rectangle(box[:2], box[2], box[3], **behind))
    figure.text(
        (left + 0.18) / whole_width,
        (bottom + _PANEL_INCHES - 0.24) / whole_height,
        panel["title"],
        color=_TEXT,
        size=9.5,
        weight="bold",
        va="center",
    )
    inside = (left + 0.72, bottom + 0.86, width - 0.95, _PANEL_INCHES - 1.3)
    axes = figure.add_axes(tuple(length * by for length, by in zip(inside, scale, strict=True)), facecolor=_PANEL)
    curves = _curves(panel, answers)
    if not curves:
        _say_nothing(axes)
    elif panel["type"] == "stat":
        _draw_number(axes, panel, curves)
    else:
        _draw_curves(axes, panel, curves, _span_s(answers))
        place_legend(axes, frame)


def _span_s(answers: Answers) -> tuple[float, float]:
    """From the first to the last moment that there is an answer for, the same for all panels."""
    moments = [float(when) for found in answers.values() for series in found for when, _ in series["values"]]
    return min(moments), max(moments)


def _curves(panel: Mapping[str, Any], answers: Answers) -> list[tuple[str, bool, list[float], list[float]]]:
    """(legend, whether it is a limit, seconds, values) of each series."""
    found = []
    dashed = [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]
    for target in panel["targets"]:
        for series in answers[f"{panel['id']}{target['refId']}"]:
            legend = _legend(target["legendFormat"], series["metric"])
            is_limit = f"/^{_pattern(target['legendFormat'])}$/" in dashed
            points = [(float(when), float(value)) for when, value in series["values"] if math.isfinite(float(value))]
            if points:
                found.append((legend, is_limit, *map(list, zip(*points, strict=True))))
    return found


def _legend(template: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return _pattern(template, "").strip()


def _pattern(template: str, instead: str = ".*") -> str:
    return "".join(
        instead if place % 2 else part for place, part in enumerate(template.replace("}}", "{{").split("{{"))
    )


def _draw_curves(axes: Axes, panel: Mapping[str, Any], curves: list[Any], span_s: tuple[float, float]) -> None:
    began_s, ended_s = span_s
    is_stack = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    if is_stack:
        _draw_stack(axes, curves, began_s)
    else:
        for number, (legend, is_limit, times, values) in enumerate(curves):
            style = {"linestyle": "--", "linewidth": 1.0} if is_limit else {"linewidth": 1.4}
            colour = _COLOURS[number % len(_COLOURS)]
            axes.plot([when - began_s for when in times], values, color=colour, label=legend, **style)
            if not is_limit:
                axes.fill_between([when - began_s for when in times], values, color=colour, alpha=0.06)
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    for step in steps[1:]:
        axes.axhline(step["value"], color=_LIMIT, linestyle=":", linewidth=1)
    are_counts = all(float(value).is_integer() for _, _, _, values in curves for value in values)
    _dress(axes, panel["fieldConfig"]["defaults"]["unit"], are_counts)
    axes.set_xlim(0, ended_s - began_s)
    if not any(max(values) for _, _, _, values in curves) and not steps[1:]:
        axes.set_ylim(0, 1)


def _draw_stack(axes: Axes, curves: list[Any], began_s: float) -> None:
    times = sorted({when for _, _, moments, _ in curves for when in moments})
    heights = []
    for _, _, moments, values in curves:
        known = dict(zip(moments, values, strict=True))
        heights.append([known.get(when, 0.0) for when in times])
    axes.stackplot(
        [when - began_s for when in times],
        heights,
        labels=[legend for legend, _, _, _ in curves],
        colors=[_COLOURS[number % len(_COLOURS)] for number in range(len(curves))],
        alpha=0.75,
        linewidth=0.5,
    )


def _draw_number(axes: Axes, panel: Mapping[str, Any], curves: list[Any]) -> None:
    axes.axis("off")
    told = _formatted(curves[0][3][-1], panel["fieldConfig"]["defaults"]["unit"])
    axes.text(0.5, 0.5, told, color=_COLOURS[0], size=34, ha="center", va="center", transform=axes.transAxes)


def _say_nothing(axes: Axes) -> None:
    axes.axis("off")
    axes.text(
        0.5,
        0.5,
        "no data:\nno GPU\non this machine",
        color=_FAINT,
        size=9,
        ha="center",
        va="center",
        transform=axes.transAxes,
    )


def _dress(axes: Axes, unit: str, are_counts: bool) -> None:
    axes.set_ylim(bottom=0)
    axes.set_axisbelow(True)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.tick_params(colors=_FAINT, labelsize=7.5, length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=unit == "bool" or (unit == "short" and are_counts)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _formatted(value, unit)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{int(value) // 60}:{int(value) % 60:02d}"))
    for spine in axes.spines.values():
        spine.set_visible(False)


def place_legend(axes: Axes, frame: tuple[float, float, float, float]) -> None:
    """Below the axes and within ``frame`` (left, bottom, width, height in inches): in as many columns as fit, with as
    many curves as fit; who is left out is counted."""
    handles, labels = axes.get_legend_handles_labels()
    longest = int((frame[2] - 1.1) / _LETTER_INCHES)
    labels = [label if len(label) <= longest else f"{label[: longest - 1]}…" for label in labels]
    for shown in range(min(len(labels), _SHOWN_CURVES), 0, -1):
        told = labels[:shown]
        if shown < len(labels):
            told[-1] = f"and {len(labels) - shown + 1} more"
        if any(_fits(axes, handles[:shown], told, columns, frame) for columns in range(min(shown, 4), 0, -1)):
            return
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()


def _fits(
    axes: Axes, handles: Sequence[Any], labels: Sequence[str], columns: int, frame: tuple[float, float, float, float]
) -> bool:
    """Makes it the axes' legend, and measures it."""
    legend = axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.13),
        ncols=columns,
        fontsize=_LEGEND_POINTS,
        labelcolor=_TEXT,
        frameon=False,
        handlelength=1.1,
        columnspacing=1.0,
        labelspacing=0.25,
        borderaxespad=0.2,
    )
    left, bottom, width, _ = frame
    box = legend.get_window_extent()
    return box.x1 / _DPI <= left + width and box.y0 / _DPI >= bottom


def _formatted(value: float, unit: str) -> str:
    if unit == "s":
        return _time(value)
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit in ("bytes", "Bps"):
        return _bytes(value) + ("/s" if unit == "Bps" else "")
    if unit == "reqps":
        return f"{value:.3g} /s"
    if unit == "bool":
        return {0.0: "no", 1.0: "yes"}.get(value, "")
    return f"{value:.3g}" + (" W" if unit == "watt" else "")


def _time(value_s: float) -> str:
    if value_s == 0:
        return "0"
    return (
        f"{value_s * 1000:.3g} ms"
        if value_s < 1
        else f"{value_s:.3g} s"
        if value_s < 120
        else f"{value_s / 60:.3g} min"
    )


def _bytes(value: float) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError(value)


def _save(figure: Figure, path: Path) -> None:
    """With few colours: small enough for a repository."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", facecolor=_PAPER)
    Image.open(drawn).convert("RGB").quantize(200, kmeans=1).save(path, optimize=True)
