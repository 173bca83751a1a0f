"""A scene as a picture: smooth edges, colours that vary within their name, now and then an outline or some noise."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from stream_omni_demo.world.icons import ICONS
from stream_omni_demo.world.pencil import Colour, Pencil, shade
from stream_omni_demo.world.scene import Scene, Thing

# Each name covers what lies between these, so that it is not one exact value that is learned
_COLOURS: dict[str, tuple[Colour, ...]] = {
    "red": ((214, 30, 38), (255, 0, 0), (190, 24, 30)),
    "blue": ((38, 84, 196), (0, 0, 255), (60, 120, 225)),
    "green": ((40, 150, 64), (0, 190, 0), (30, 115, 50)),
    "yellow": ((250, 208, 30), (255, 240, 0), (240, 200, 60)),
    "orange": ((245, 130, 24), (255, 150, 0), (230, 115, 40)),
    "purple": ((128, 50, 150), (140, 0, 200), (105, 60, 165)),
    "black": ((24, 24, 26), (0, 0, 0), (45, 45, 48)),
    "white": ((252, 252, 252), (255, 255, 255), (244, 244, 240)),
}
_BACKGROUNDS: dict[str, tuple[Colour, ...]] = {
    "white": ((255, 255, 255), (246, 246, 244), (250, 248, 240)),
    "grey": ((188, 188, 190), (205, 205, 205), (168, 170, 174)),
    "blue": ((182, 212, 244), (160, 200, 240), (200, 222, 246)),
    "green": ((190, 230, 186), (170, 220, 170), (205, 236, 205)),
    "yellow": ((250, 240, 176), (248, 232, 150), (252, 244, 196)),
    "pink": ((250, 206, 220), (246, 186, 206), (252, 220, 230)),
}
_COLOUR_JITTER, _BACKGROUND_JITTER = 8.0, 3.0
_OUTLINED, _NOISY, _SHADED = 0.2, 0.4, 0.3  # shares of pictures
_TURNED_DEGREES = {"square": 8.0, "triangle": 10.0, "star": 16.0}
_SMOOTHING = 2  # things are drawn so many times as large, then reduced
_NOISE_PX = 800  # the noise is a piece of one that is drawn once
_MIDDLE = 128  # of a byte: no change
_EDGE_PX = 4  # around a thing's square, for its outline


def draw(scene: Scene, generator: np.random.Generator) -> Image.Image:
    """RGB, as large as the scene says. The same state of the generator gives the same picture."""
    background = _varied(_BACKGROUNDS[scene.background], _BACKGROUND_JITTER, generator)
    picture = Image.new("RGB", (scene.width_px, scene.height_px), background)
    outlined = bool(generator.random() < _OUTLINED)
    for thing in scene.things:
        _draw_thing(picture, thing, outlined, generator)
    return _with_noise(picture, generator)


def _draw_thing(picture: Image.Image, thing: Thing, outlined: bool, generator: np.random.Generator) -> None:
    colour = _varied(_COLOURS[thing.colour], _COLOUR_JITTER, generator)
    turned = math.radians(_TURNED_DEGREES.get(thing.noun, 0.0) * float(generator.uniform(-1, 1)))
    mirrored = bool(generator.random() < 0.5)
    # Only the thing's own part of the picture is drawn large, which is what makes it quick
    reach_px = thing.side_px * 0.6 + _EDGE_PX
    left, top = max(0, math.floor(thing.centre_x_px - reach_px)), max(0, math.floor(thing.centre_y_px - reach_px))
    right = min(picture.width, math.ceil(thing.centre_x_px + reach_px))
    bottom = min(picture.height, math.ceil(thing.centre_y_px + reach_px))
    size = ((right - left) * _SMOOTHING, (bottom - top) * _SMOOTHING)
    part = picture.crop((left, top, right, bottom)).resize(size, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(part)
    centre = ((thing.centre_x_px - left) * _SMOOTHING, (thing.centre_y_px - top) * _SMOOTHING)
    side = thing.side_px * _SMOOTHING
    icon = ICONS[thing.noun]
    if thing.is_shape and (outlined or thing.colour == "white"):
        edge = shade(colour, 0.55) if thing.colour != "black" else (110, 110, 110)
        icon(Pencil(pen, centre, side, turned, mirrored), edge)
        side *= 0.93
    icon(Pencil(pen, centre, side, turned, mirrored), colour)
    picture.paste(part.reduce(_SMOOTHING), (left, top))


def _varied(anchors: tuple[Colour, ...], jitter: float, generator: np.random.Generator) -> Colour:
    """Somewhere between them."""
    shares = generator.dirichlet((1.0,) * len(anchors))
    values = shares @ np.array(anchors, np.float64) + generator.uniform(-jitter, jitter, 3)
    red, green, blue = (int(value) for value in np.clip(values, 0, 255))
    return red, green, blue


def _with_noise(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Grain, and light that falls off from one edge to the other."""
    noisy, shaded = generator.random(2) < (_NOISY, _SHADED)
    if not (noisy or shaded):
        return picture
    change = np.full((picture.height, picture.width), _MIDDLE, np.float32)
    if noisy:
        y, x = generator.integers(0, (_NOISE_PX - picture.height, _NOISE_PX - picture.width))
        change += float(generator.uniform(1, 6)) * _noise()[y : y + picture.height, x : x + picture.width]
    if shaded:
        down, across = generator.uniform(-12, 12, 2)
        change += np.linspace(-down, down, picture.height, dtype=np.float32)[:, None]
        change += np.linspace(-across, across, picture.width, dtype=np.float32)
    grain = Image.fromarray(change.astype(np.uint8))
    return ImageChops.add(picture, Image.merge("RGB", (grain,) * 3), offset=-_MIDDLE)


@cache
def _noise() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((_NOISE_PX, _NOISE_PX), np.float32)
