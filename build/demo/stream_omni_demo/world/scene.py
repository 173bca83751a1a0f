"""What a picture shows: one to four things on a loose 3 x 3 grid before a plain background."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream_omni_demo.world.chance import happens, pick, pick_by_share
from stream_omni_demo.world.split import Split, split_of
from stream_omni_demo.world.words import BACKGROUND_COLOURS, COLOURS, EVERYDAY, SHAPES, SIZES

_GRID = 3
_CELLS = tuple(itertools.product(range(_GRID), range(_GRID)))  # row, column
_SIDE_PX = 480  # of pictures
_COUNT_SHARES = {1: 0.2, 2: 0.36, 3: 0.26, 4: 0.18}  # of numbers of things
# Shares of a third of a picture's side, with nothing in between, so that big and small are a matter of fact
_SIDES = {"small": (0.45, 0.58), "big": (0.8, 0.95)}
_JITTER = 0.06  # of a cell, to either side
_MARGIN_PX, _GAP_PX = 5, 8
_SAME_NOUN, _SAME_COLOUR, _SIDE_BY_SIDE, _EVERYDAY = 0.25, 0.2, 0.3, 0.45

_COLOURS_OF = {
    "house": tuple(c for c in COLOURS if c != "black"),
    "tree": ("green",),
    "sun": ("yellow",),
    "cat": ("black", "white", "orange"),
    "fish": ("red", "blue", "green", "yellow", "orange", "purple"),
    "flower": ("red", "blue", "yellow", "orange", "purple", "white"),
}
_WHITE_IS_SEEN_ON = ("grey", "blue", "green")


@dataclass(frozen=True)
class Thing:
    """``row`` and ``column`` count from the top left, 0 to 2; the box is a square round the centre."""

    noun: str
    colour: str
    size: str
    row: int
    column: int
    centre_x_px: float
    centre_y_px: float
    side_px: float

    @property
    def place(self) -> str:
        """A key of :data:`~stream_omni_demo.world.words.PLACES`."""
        return place_name(self.row, self.column)

    @property
    def is_shape(self) -> bool:
        return self.noun in SHAPES


@dataclass(frozen=True)
class Scene:
    """``things`` from left to right, from top to bottom within a column."""

    things: tuple[Thing, ...]
    background: str
    width_px: int = _SIDE_PX
    height_px: int = _SIDE_PX

    @property
    def split(self) -> Split:
        shown = sorted(f"{t.size} {t.colour} {t.noun} {t.place}" for t in self.things)
        return split_of(", ".join((*shown, self.background)))


def place_name(row: int, column: int) -> str:
    words = (("top", "", "bottom")[row], ("left", "", "right")[column])
    return " ".join(filter(None, words)) or "middle"


def sample_scene(generator: np.random.Generator, split: Split = "train") -> Scene:
    """Any scene of the split."""
    while True:
        if scene := sample_scene_with((), generator, split):
            return scene


def sample_scene_with(wanted: Sequence[Thing], generator: np.random.Generator, split: Split = "train") -> Scene | None:
    """A scene that has these things in their cells, with places in pixels that are chosen here. None if this try does
    not work out: some things cannot be together, so that trying again may not help."""
    background = pick(BACKGROUND_COLOURS, generator)
    if not all(colour_is_seen(thing.colour, background) for thing in wanted):
        return None
    scene = _with_places(_things(generator, background, wanted), background, generator)
    return scene if scene is not None and scene.split == split else None


def sample_thing(generator: np.random.Generator, **fixed: Any) -> Thing:
    """A thing without a place in pixels; ``fixed`` are fields that are given."""
    noun = str(fixed.get("noun") or pick(EVERYDAY if happens(_EVERYDAY, generator) else SHAPES, generator))
    row, column = pick(_CELLS, generator)
    colour, size = pick(colours_of(noun), generator), pick(SIZES, generator)
    free: dict[str, Any] = {"noun": noun, "colour": colour, "size": size, "row": row, "column": column}
    return Thing(**(free | fixed), centre_x_px=0.0, centre_y_px=0.0, side_px=0.0)


def colours_of(noun: str) -> tuple[str, ...]:
    return _COLOURS_OF.get(noun, COLOURS)


def colour_is_seen(colour: str, background: str) -> bool:
    return colour != background and (colour != "white" or background in _WHITE_IS_SEEN_ON)


def _things(generator: np.random.Generator, background: str, wanted: Sequence[Thing]) -> list[Thing]:
    count = max(len(wanted), pick_by_share(_COUNT_SHARES, generator))
    things = list(wanted)
    side_by_side = count == 2 and not wanted and happens(_SIDE_BY_SIDE, generator)
    while len(things) < count:
        fixed: dict[str, Any] = {}
        if side_by_side:
            fixed |= {"row": 1, "column": 2 * len(things)}
        if things and happens(_SAME_NOUN, generator):
            fixed["noun"] = pick(things, generator).noun
        thing = sample_thing(generator, **fixed)
        if things and happens(_SAME_COLOUR, generator):
            colour = pick(things, generator).colour
            thing = replace(thing, colour=colour if colour in colours_of(thing.noun) else thing.colour)
        taken = {(t.row, t.column) for t in things}
        if thing.noun == "sun" and any(other.noun == "sun" for other in things):
            continue  # there is only one
        if colour_is_seen(thing.colour, background) and (thing.row, thing.column) not in taken:
            things.append(thing)
    return things


def _with_places(things: Sequence[Thing], background: str, generator: np.random.Generator) -> Scene | None:
    """None where they do not fit without touching."""
    cell_px = _SIDE_PX / _GRID
    placed = []
    for thing in things:
        side_px = generator.uniform(*_SIDES[thing.size]) * cell_px
        low_px = side_px / 2 + _MARGIN_PX
        x_px, y_px = ((at + 0.5 + generator.uniform(-_JITTER, _JITTER)) * cell_px for at in (thing.column, thing.row))
        x_px, y_px = (min(max(at_px, low_px), _SIDE_PX - low_px) for at_px in (x_px, y_px))
        placed.append(replace(thing, centre_x_px=x_px, centre_y_px=y_px, side_px=side_px))
    if any(_touch(a, b) for a, b in itertools.combinations(placed, 2)):
        return None
    placed.sort(key=lambda t: (t.column, t.row))
    return Scene(tuple(placed), background)


def _touch(a: Thing, b: Thing) -> bool:
    distance_px = max(abs(a.centre_x_px - b.centre_x_px), abs(a.centre_y_px - b.centre_y_px))
    return distance_px < (a.side_px + b.side_px) / 2 + _GAP_PX
