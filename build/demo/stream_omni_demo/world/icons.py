"""How each thing is drawn, from a few shapes: its main colour is the one that questions are about."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from stream_omni_demo.world.pencil import Colour, Pencil, round_polygon, shade

# Colours of parts, which have no name in the domain, or are too small to be asked for
_WOOD, _GLASS, _TYRE, _HUB = (118, 78, 46), (205, 226, 236), (48, 48, 52), (176, 178, 182)
_EYE, _STEM, _SEEDS, _DOOR = (24, 24, 24), (64, 120, 60), (96, 62, 30), (88, 60, 42)
_PINK = (235, 140, 150)


def _circle(pencil: Pencil, colour: Colour) -> None:
    pencil.disc(0.5, 0.5, 0.49, colour)


def _square(pencil: Pencil, colour: Colour) -> None:
    pencil.polygon([(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)], colour)


def _triangle(pencil: Pencil, colour: Colour) -> None:
    pencil.polygon([(0.5, 0.04), (0.98, 0.92), (0.02, 0.92)], colour)


def _star(pencil: Pencil, colour: Colour) -> None:
    pencil.polygon(round_polygon(5, 0.52, 0.215), colour)


def _house(pencil: Pencil, colour: Colour) -> None:
    pencil.box(0.72, 0.1, 0.83, 0.4, shade(colour, 0.5))  # chimney
    pencil.box(0.13, 0.42, 0.87, 0.98, colour)
    pencil.polygon([(0.5, 0.03), (1.0, 0.45), (0.0, 0.45)], shade(colour, 0.62))
    pencil.box(0.56, 0.62, 0.74, 0.98, _DOOR)
    pencil.box(0.23, 0.56, 0.43, 0.76, _GLASS)
    pencil.box(0.32, 0.56, 0.34, 0.76, _DOOR)
    pencil.box(0.23, 0.65, 0.43, 0.67, _DOOR)


def _tree(pencil: Pencil, colour: Colour) -> None:
    pencil.polygon([(0.43, 0.55), (0.57, 0.55), (0.61, 0.99), (0.39, 0.99)], _WOOD)
    for x, y, radius in ((0.28, 0.47, 0.22), (0.72, 0.47, 0.22), (0.5, 0.52, 0.24), (0.37, 0.26, 0.21)):
        pencil.disc(x, y, radius, colour)
    for x, y, radius in ((0.62, 0.25, 0.22), (0.5, 0.34, 0.25)):
        pencil.disc(x, y, radius, colour)
    for x, y in ((0.36, 0.3), (0.62, 0.42), (0.42, 0.56)):
        pencil.disc(x, y, 0.045, shade(colour, 0.78))


def _sun(pencil: Pencil, colour: Colour) -> None:
    for i in range(10):
        angle = 2 * math.pi * i / 10
        points = [(0.34, angle - 0.16), (0.5, angle), (0.34, angle + 0.16)]
        pencil.polygon([(0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for r, a in points], shade(colour, 0.93))
    pencil.disc(0.5, 0.5, 0.29, colour)
    for x in (0.4, 0.6):
        pencil.disc(x, 0.45, 0.03, shade(colour, 0.45))
    smile = [(0.5 + 0.13 * math.sin(a), 0.52 + 0.1 * math.cos(a)) for a in (-1.1, -0.6, 0.0, 0.6, 1.1)]
    pencil.line(smile, 0.025, shade(colour, 0.45))


def _cat(pencil: Pencil, colour: Colour) -> None:
    """Sitting, seen from the front."""
    dark = sum(colour) < 200
    inside, drawn = (_PINK, (232, 226, 120)) if dark else (_PINK, _EYE)
    line = (150, 150, 150) if dark else shade(colour, 0.45)
    for i in range(24):  # the tail
        angle = 2.6 - i * 0.16
        pencil.disc(0.74 + 0.15 * math.sin(angle), 0.74 + 0.16 * -math.cos(angle), 0.045, colour)
    pencil.ellipse(0.5, 0.76, 0.28, 0.235, colour)
    for side in (-1, 1):
        pencil.polygon([(0.5 + side * x, y) for x, y in ((0.29, 0.02), (0.29, 0.36), (0.04, 0.2))], colour)
        pencil.polygon([(0.5 + side * x, y) for x, y in ((0.25, 0.1), (0.25, 0.26), (0.12, 0.19))], inside)
        pencil.line([(0.5 + side * 0.1, 0.8), (0.5 + side * 0.1, 0.98)], 0.015, line)
    pencil.ellipse(0.5, 0.36, 0.31, 0.245, colour)
    for side in (-1, 1):
        pencil.ellipse(0.5 + side * 0.13, 0.33, 0.05, 0.06, drawn)
        if dark:
            pencil.ellipse(0.5 + side * 0.13, 0.33, 0.018, 0.05, _EYE)
        for y in (0.43, 0.49):
            pencil.line([(0.5 + side * 0.12, 0.45), (0.5 + side * 0.4, y)], 0.012, line)
    pencil.polygon([(0.45, 0.42), (0.55, 0.42), (0.5, 0.47)], _PINK)
    pencil.line([(0.43, 0.52), (0.5, 0.48), (0.57, 0.52)], 0.014, line)


def _fish(pencil: Pencil, colour: Colour) -> None:
    pencil.polygon([(0.66, 0.5), (0.99, 0.22), (0.92, 0.5), (0.99, 0.78)], shade(colour, 0.82))
    pencil.polygon([(0.28, 0.33), (0.46, 0.12), (0.64, 0.34)], shade(colour, 0.82))
    pencil.ellipse(0.4, 0.5, 0.39, 0.25, colour)
    pencil.polygon([(0.44, 0.54), (0.6, 0.46), (0.58, 0.66)], shade(colour, 0.72))
    pencil.disc(0.19, 0.44, 0.055, (250, 250, 250))
    pencil.disc(0.18, 0.44, 0.028, _EYE)
    pencil.line([(0.04, 0.56), (0.12, 0.57)], 0.018, shade(colour, 0.5))


def _car(pencil: Pencil, colour: Colour) -> None:
    pencil.polygon([(0.2, 0.46), (0.32, 0.22), (0.7, 0.22), (0.84, 0.46)], colour)
    pencil.box(0.0, 0.43, 1.0, 0.72, colour, round_by=0.07)
    pencil.polygon([(0.27, 0.45), (0.36, 0.27), (0.49, 0.27), (0.49, 0.45)], _GLASS)
    pencil.polygon([(0.53, 0.45), (0.53, 0.27), (0.67, 0.27), (0.76, 0.45)], _GLASS)
    pencil.box(0.0, 0.51, 0.05, 0.58, (250, 240, 190))
    for x in (0.24, 0.76):
        pencil.disc(x, 0.71, 0.135, _TYRE)
        pencil.disc(x, 0.71, 0.06, _HUB)


def _flower(pencil: Pencil, colour: Colour) -> None:
    pencil.line([(0.5, 0.4), (0.5, 0.99)], 0.045, _STEM)
    pencil.polygon([(0.5, 0.9), (0.6, 0.74), (0.76, 0.7), (0.68, 0.84)], _STEM)
    pencil.polygon([(0.5, 0.96), (0.42, 0.8), (0.26, 0.76), (0.33, 0.9)], _STEM)
    for i in range(6):
        angle = 2 * math.pi * i / 6 + math.pi / 6
        pencil.disc(0.5 + 0.2 * math.cos(angle), 0.34 + 0.2 * math.sin(angle), 0.135, colour)
    pencil.disc(0.5, 0.34, 0.1, _SEEDS)


def _cup(pencil: Pencil, colour: Colour) -> None:
    pencil.ring(0.76, 0.52, 0.2, 0.075, shade(colour, 0.85))
    pencil.polygon([(0.1, 0.2), (0.78, 0.2), (0.68, 0.92), (0.2, 0.92)], colour)
    pencil.ellipse(0.44, 0.92, 0.24, 0.06, colour)
    pencil.ellipse(0.44, 0.2, 0.34, 0.085, shade(colour, 0.82))
    pencil.ellipse(0.44, 0.215, 0.28, 0.06, _DOOR)


ICONS: Mapping[str, Callable[[Pencil, Colour], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "house": _house,
    "tree": _tree,
    "sun": _sun,
    "cat": _cat,
    "fish": _fish,
    "car": _car,
    "flower": _flower,
    "cup": _cup,
}
