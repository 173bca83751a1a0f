from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stream_omni.image import decode_image
from stream_omni.image_merge import image_token_count
from stream_omni.image_tiles import choose_grid, tile_image
from stream_omni.model_info import ImageLayout, VisionSizes
from tests.recorded_images import image_cases, image_layout

VISION = VisionSizes(32, 64, 2, 2, image_size_px=384, patch_size_px=14, layer_norm_eps=1e-6)
SMALL = VisionSizes(8, 16, 1, 1, image_size_px=28, patch_size_px=7, layer_norm_eps=1e-6)
SMALL_GRIDS = tuple((28 * columns, 28 * rows) for columns in range(1, 4) for rows in range(1, 4))


@pytest.mark.parametrize("name", image_cases())
def test_recorded_case(fixtures_dir: Path, name: str) -> None:
    case = json.loads((fixtures_dir / "cases" / f"{name}.json").read_text())
    layout = image_layout(case["image_config"])
    tiles = tile_image(decode_image((fixtures_dir / "images" / case["image"]).read_bytes()), layout, VISION)
    assert list(tiles.pixels.shape) == case["pixel_shape"][-4:]
    assert (tiles.grid is None) == (len(case["pixel_shape"]) == 4)
    assert hashlib.sha256(tiles.pixels.tobytes()).hexdigest() == case["pixel_sha256"]
    assert image_token_count(tiles.size, layout, VISION) == case["n_image_tokens"]


@given(width=st.integers(1, 120), height=st.integers(1, 120))
def test_the_grid_keeps_the_whole_picture(width: int, height: int) -> None:
    white = Image.new("RGB", (width, height), (255, 255, 255))
    tiles = tile_image(white, ImageLayout("anyres", "spatial_unpad", SMALL_GRIDS), SMALL)
    columns, rows = tiles.grid or (0, 0)
    assert tiles.pixels.shape == (1 + columns * rows, 3, 28, 28)
    assert tiles.pixels.dtype == np.float32
    assert (tiles.pixels[0] == 1).all()
    picture = (tiles.pixels[1:, 0] == 1).reshape(rows, columns, 28, 28).transpose(0, 2, 1, 3)
    shown_rows, shown_columns = picture.any(axis=(2, 3)).sum(), picture.any(axis=(0, 1)).sum()
    assert shown_columns == 28 * columns or shown_rows == 28 * rows


def test_the_first_of_equal_grids_wins() -> None:
    layout = ImageLayout("anyres", "flat", ((56, 28), (28, 56)))
    assert choose_grid((40, 40), layout, SMALL) == (2, 1)
    assert choose_grid((20, 40), layout, SMALL) == (1, 2)


def test_pad_is_centred_on_grey() -> None:
    pixels = tile_image(Image.new("RGB", (28, 14), (255, 0, 0)), ImageLayout("pad", "flat", ()), SMALL).pixels[0]
    grey = np.float32(127 / 255) * 2 - 1
    np.testing.assert_allclose(pixels[:, 0, 0], [grey] * 3, atol=1e-6)
    np.testing.assert_array_equal(pixels[:, 14, 14], [1, -1, -1])


def test_layouts_without_a_recipe_are_named() -> None:
    with pytest.raises(ValueError, match="image_aspect_ratio highres is not supported"):
        tile_image(Image.new("RGB", (4, 4)), ImageLayout("highres", "flat", ()), SMALL)
