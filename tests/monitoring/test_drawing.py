"""The pictures of panels can be read whatever their curves are called."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.patches import Rectangle

from tests.monitoring import drawing
from tests.monitoring.conftest import DASHBOARDS, panels_of

_LONG = "a-release-with-quite-a-long-name"


def _series(legend: str, number: int) -> dict[str, Any]:
    """A curve of ten values whose labels are as long as they come."""
    labels = dict.fromkeys(re.findall(r"{{(\w+)}}", legend), f"{_LONG}-{number}")
    return {"metric": labels, "values": [[when, str(number + when / 7)] for when in range(10)]}


def _rows(dashboard: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    rows: list[tuple[str, list[dict[str, Any]]]] = []
    for panel in json.loads(dashboard.read_text())["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
        else:
            rows[-1][1].append(panel)
    return rows


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_legends_stay_within_their_panels(dashboard: Path) -> None:
    answers = {
        f"{panel['id']}{target['refId']}": [
            _series(target["legendFormat"], number) for number in range(8 if "{{" in target["legendFormat"] else 1)
        ]
        for panel in panels_of(dashboard)
        for target in panel["targets"]
    }
    for title, panels in _rows(dashboard):
        figure = drawing._draw_row(title, panels, answers, "")
        frames = [artist.get_window_extent() for artist in figure.artists if isinstance(artist, Rectangle)]
        assert len(frames) == len(figure.axes) == len(panels)
        for axes, frame in zip(figure.axes, frames, strict=True):
            legend = axes.get_legend()
            if legend is not None:
                box = legend.get_window_extent()
                assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0, (title, axes)
        told = [axes.get_legend().get_texts() for axes in figure.axes if axes.get_legend()]
        assert sum(map(len, told)) >= 2 * len(told)


def test_who_is_left_out_is_counted() -> None:
    figure = drawing.new_figure(5, 3)
    axes = figure.add_axes((0.2, 0.4, 0.7, 0.5))
    for number in range(20):
        axes.plot([0, 1], [0, number], label=f"replica {number}")
    drawing.place_legend(axes, (0.1, 0.1, 4.8, 2.8))
    *named, rest = [text.get_text() for text in axes.get_legend().get_texts()]
    assert rest == f"and {20 - len(named)} more" and len(named) > 5


def test_a_curve_without_a_name_needs_no_legend() -> None:
    """As that of alerts, where none fires."""
    figure = drawing.new_figure(5, 3)
    axes = figure.add_axes((0.2, 0.4, 0.7, 0.5))
    axes.plot([0, 1], [0, 0], label="")
    drawing.place_legend(axes, (0.1, 0.1, 4.8, 2.8))
    assert axes.get_legend() is None
