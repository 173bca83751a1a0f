"""Drawing within a unit square, which lies anywhere on a picture, turned or mirrored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Pencil:
    """The square of ``side_px`` round the centre is (0, 0) to (1, 1), with y downwards. Ellipses and boxes keep their
    axes when turned: shapes that are to turn are polygons."""

    canvas: ImageDraw.ImageDraw
    centre_px: Point
    side_px: float
    angle: float = 0.0  # radians
    mirrored: bool = False

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self.canvas.polygon([self._at(point) for point in points], fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, round_by: float = 0.0) -> None:
        corners = self._box(left, top, right, bottom)
        self.canvas.rounded_rectangle(corners, round_by * self.side_px, fill=colour)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> None:
        self.canvas.ellipse(self._box(x - radius_x, y - radius_y, x + radius_x, y + radius_y), fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.ellipse(x, y, radius, radius, colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        corners = self._box(x - radius, y - radius, x + radius, y + radius)
        self.canvas.ellipse(corners, outline=colour, width=max(1, round(width * self.side_px)))

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        line_px = max(1, round(width * self.side_px))
        self.canvas.line([self._at(point) for point in points], fill=colour, width=line_px, joint="curve")

    def _at(self, point: Point) -> Point:
        x, y = point[0] - 0.5, point[1] - 0.5
        if self.mirrored:
            x = -x
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return (
            self.centre_px[0] + self.side_px * (cosine * x - sine * y),
            self.centre_px[1] + self.side_px * (sine * x + cosine * y),
        )

    def _box(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        if self.mirrored:
            left, right = 1 - right, 1 - left
        x, y = self.centre_px[0] - self.side_px / 2, self.centre_px[1] - self.side_px / 2
        side = self.side_px
        return x + left * side, y + top * side, x + right * side, y + bottom * side


def round_polygon(corners: int, radius: float, inner_radius: float | None = None) -> list[Point]:
    """Round the middle of the unit square, the first corner on top; with ``inner_radius`` a star."""
    radii = (radius,) if inner_radius is None else (radius, inner_radius)
    count = corners * len(radii)
    angles = [2 * math.pi * i / count - math.pi / 2 for i in range(count)]
    return [
        (0.5 + radii[i % len(radii)] * math.cos(a), 0.5 + radii[i % len(radii)] * math.sin(a))
        for i, a in enumerate(angles)
    ]


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above it."""
    red, green, blue = (round(min(255.0, value * factor)) for value in colour)
    return red, green, blue
