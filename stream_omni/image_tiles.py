"""A picture becomes the vision tower's square tiles: layouts pad, square, anyres and anyres_max_N (config.json)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stream_omni.model_info import ImageLayout, VisionSizes

_PAD_COLOUR = (127, 127, 127)
REFUSED_RATIOS = ("highres", "crop_split")  # the reference has them, no recipe of Stream-Omni uses them
# x / 255 scaled to -1..1 as the reference rounds it: the product in double, the rest in float32
_PIXEL_VALUES = ((np.arange(256) * (1 / 255)).astype(np.float32) - np.float32(0.5)) / np.float32(0.5)


@dataclass(frozen=True)
class Tiles:
    """``pixels`` [P, 3, S, S] float32 in -1..1. ``size`` is the picture's (width, height) in pixels. ``grid`` is
    (columns, rows) of the tiles after the first, which shows the whole picture; None: the only tile."""

    pixels: NDArray[np.float32]
    size: tuple[int, int]
    grid: tuple[int, int] | None


def tile_image(image: Image.Image, layout: ImageLayout, vision: VisionSizes) -> Tiles:
    """Cut an RGB picture into tiles. Bit-exact with the reference under the same Pillow."""
    side = vision.image_size_px
    grid = choose_grid(image.size, layout, vision)
    if grid is None:
        whole = _pad_to_square(image) if layout.aspect_ratio == "pad" else image
        return Tiles(_to_pixels([_resize(whole, side, side)]), image.size, None)
    columns, rows = grid
    canvas = _fit_on_black(image, columns * side, rows * side)
    corners = [(side * x, side * y) for y in range(rows) for x in range(columns)]
    pieces = [canvas.crop((x, y, x + side, y + side)) for x, y in corners]
    return Tiles(_to_pixels([_resize(image, side, side), *pieces]), image.size, grid)


def choose_grid(size: tuple[int, int], layout: ImageLayout, vision: VisionSizes) -> tuple[int, int] | None:
    """(columns, rows) of the grid that an anyres layout takes for a picture of ``size``; None in the other layouts.

    The pinpoint that keeps most of the picture's pixels wins; among equals the one that wastes least; then the first.
    """
    if layout.aspect_ratio in REFUSED_RATIOS:
        raise ValueError(f"image_aspect_ratio {layout.aspect_ratio} is not supported; use pad, square or anyres")
    if not layout.aspect_ratio.startswith("anyres"):
        return None
    width, height = size

    def kept_and_waste(canvas: tuple[int, int]) -> tuple[int, int]:
        scale = min(canvas[0] / width, canvas[1] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - canvas[0] * canvas[1]

    best = max(layout.grid_pinpoints, key=kept_and_waste)  # max returns the first of equals
    return best[0] // vision.image_size_px, best[1] // vision.image_size_px


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def _pad_to_square(image: Image.Image) -> Image.Image:
    width, height = image.size
    side = max(width, height)
    square = Image.new("RGB", (side, side), _PAD_COLOUR)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def _fit_on_black(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture as large as its shape allows, centred. (The features' crop rounds otherwise: see image_merge.)"""
    across, down = width / image.width, height / image.height
    if across < down:
        fitted = _resize(image, width, min(math.ceil(image.height * across), height))
    else:
        fitted = _resize(image, min(math.ceil(image.width * down), width), height)
    canvas = Image.new("RGB", (width, height), (0, 0, 0))
    canvas.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
    return canvas


def _to_pixels(pieces: list[Image.Image]) -> NDArray[np.float32]:
    stacked = np.stack([np.asarray(piece) for piece in pieces])  # [P, S, S, 3] uint8
    return np.ascontiguousarray(_PIXEL_VALUES[stacked].transpose(0, 3, 1, 2))
