"""Tile features become prompt positions: merge types flat, spatial and spatial_unpad, each with or without "nobase".

How many positions a picture takes follows from its size alone, so an overlong prompt is refused before any encoding.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_omni.image_tiles import Tiles, choose_grid
from stream_omni.model_info import ImageLayout, VisionSizes

Features = NDArray[np.float32]

MERGE_TYPES = re.compile(r"flat|spatial(_unpad|_nobase)*")
_WORTH_REDUCING = 1.1  # a map is shrunk only when its sides are more than a tenth too long


@dataclass(frozen=True)
class _Map:
    """What becomes of the grid's tiles, seen as one map of patches: cropped to [top:bottom, left:right], then shrunk to
    ``height`` x ``width`` (equal to the crop: not shrunk), then closed row by row if ``newline``."""

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int
    newline: bool

    @property
    def tokens(self) -> int:
        return self.height * (self.width + self.newline)


def image_token_count(size: tuple[int, int], layout: ImageLayout, vision: VisionSizes) -> int:
    """Prompt positions of a picture of ``size`` (width, height) in pixels."""
    _check_merge_type(layout)
    grid = choose_grid(size, layout, vision)
    if grid is None:
        return vision.patches
    if layout.merge_type == "flat":
        return vision.patches * (1 + grid[0] * grid[1])
    base_tokens = 0 if "nobase" in layout.merge_type else vision.patches
    return base_tokens + _plan_map(size, grid, layout, vision.side_patches).tokens


def merge_features(tiles: Tiles, projected: Features, newline: Features, layout: ImageLayout) -> Features:
    """The prompt's rows for one picture: [n, H], n = image_token_count.

    ``projected`` [P, patches, H] are the tiles' projected features, ``newline`` [H] closes each row of an unpadded map.
    A picture of one tile is never given newlines, whatever the merge type says.
    """
    _check_merge_type(layout)
    _, patches, hidden = projected.shape
    if tiles.grid is None or layout.merge_type == "flat":
        return projected.reshape(-1, hidden)
    side, (columns, rows) = math.isqrt(patches), tiles.grid
    plan = _plan_map(tiles.size, tiles.grid, layout, side)
    base = projected[:0] if "nobase" in layout.merge_type else projected[:1]
    merged = np.empty((base.shape[0] * patches + plan.tokens, hidden), dtype=np.float32)
    merged[: base.shape[0] * patches] = base.reshape(-1, hidden)
    lines = merged[base.shape[0] * patches :].reshape(plan.height, plan.width + plan.newline, hidden)
    lines[:, plan.width :] = newline
    tile_rows = projected[1:].reshape(rows, columns, side, side, hidden)

    def map_row(y: int) -> Features:  # [crop width, H]; row by row, as the whole map may have hundreds of megabytes
        return tile_rows[y // side, :, y % side].reshape(columns * side, hidden)[plan.left : plan.right]

    below, above, weights = _bilinear_taps(plan.bottom - plan.top, plan.height)
    left, right, across = _bilinear_taps(plan.right - plan.left, plan.width)
    for line, y0, y1, weight in zip(lines, below + plan.top, above + plan.top, weights, strict=True):
        row = map_row(y0) if weight == 0 else (1 - weight) * map_row(y0) + weight * map_row(y1)
        line[: plan.width] = row[left] + across[:, None] * (row[right] - row[left])
    return merged


def _check_merge_type(layout: ImageLayout) -> None:
    if not MERGE_TYPES.fullmatch(layout.merge_type):
        raise ValueError(
            f"mm_patch_merge_type {layout.merge_type} is not supported; use flat, spatial or spatial_unpad, "
            "with or without _nobase"
        )


def _plan_map(size: tuple[int, int], grid: tuple[int, int], layout: ImageLayout, side: int) -> _Map:
    width, height = grid[0] * side, grid[1] * side
    if "unpad" not in layout.merge_type:
        return _Map(0, height, 0, width, height, width, newline=False)
    top, bottom, left, right = _crop_padding(size, width, height)
    height, width = bottom - top, right - left
    if limit := re.match(r"anyres_max_(\d+)", layout.aspect_ratio):
        times = math.sqrt(height * width / (int(limit[1]) * side**2))
        if times > _WORTH_REDUCING:
            height, width = int(height // times), int(width // times)
    return _Map(top, bottom, left, right, height, width, newline=True)


def _crop_padding(size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the part of a ``width`` x ``height`` map that shows a picture of ``size``."""
    if size[0] / size[1] > width / height:
        padding = (height - int(size[1] * (width / size[0]))) // 2
        return padding, height - padding, 0, width
    padding = (width - int(size[0] * (height / size[1]))) // 2
    return 0, height, padding, width - padding


def _bilinear_taps(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The two neighbours [new] of each target and the second one's weight (corners not aligned, no antialias)."""
    if old == new:
        here = np.arange(old)
        return here, here, np.zeros(old, np.float32)
    position = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new) - np.float32(0.5)
    position = np.maximum(position, np.float32(0))
    first = position.astype(np.int64)
    return first, np.minimum(first + 1, old - 1), position - first.astype(np.float32)
