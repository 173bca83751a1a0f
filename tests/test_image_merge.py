from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.image_merge import image_token_count, merge_features
from stream_omni.image_tiles import Tiles, choose_grid
from stream_omni.model_info import ImageLayout, VisionSizes

SMALL = VisionSizes(8, 16, 1, 1, image_size_px=28, patch_size_px=7, layer_norm_eps=1e-6)  # 4 x 4 patches
GRIDS = tuple((28 * columns, 28 * rows) for columns in range(1, 5) for rows in range(1, 5))
MERGE_TYPES = ["flat", "spatial", "spatial_unpad", "spatial_nobase", "spatial_unpad_nobase"]
NEWLINE = np.full(3, -7, np.float32)


def _tiles(size: tuple[int, int], layout: ImageLayout) -> tuple[Tiles, np.ndarray]:
    """Tiles without pixels, and features that differ everywhere and are never the newline's."""
    grid = choose_grid(size, layout, SMALL)
    count = 1 + grid[0] * grid[1] if grid else 1
    features = np.arange(count * 16 * 3, dtype=np.float32).reshape(count, 16, 3)
    return Tiles(np.empty((count, 3, 28, 28), np.float32), size, grid), features


def _map(features: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """[rows * 4, columns * 4, H]"""
    columns, rows = grid
    return features[1:].reshape(rows, columns, 4, 4, 3).transpose(0, 2, 1, 3, 4).reshape(rows * 4, columns * 4, 3)


@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    ratio=st.sampled_from(["pad", "square", "anyres", "anyres_max_1", "anyres_max_2", "anyres_max_9"]),
    merge_type=st.sampled_from(MERGE_TYPES),
)
def test_token_count_is_known_from_the_size(size: tuple[int, int], ratio: str, merge_type: str) -> None:
    layout = ImageLayout(ratio, merge_type, GRIDS)
    merged = merge_features(*_tiles(size, layout), NEWLINE, layout)
    assert merged.shape == (image_token_count(size, layout, SMALL), 3)
    if not (ratio.startswith("anyres") and "unpad" in merge_type):
        assert (merged != NEWLINE).all()


@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_unpadding_keeps_the_pictures_shape(width: int, height: int) -> None:
    layout = ImageLayout("anyres", "spatial_unpad_nobase", GRIDS)
    tiles, features = _tiles((width, height), layout)
    assert tiles.grid is not None
    whole = _map(features, tiles.grid)
    merged = merge_features(tiles, features, NEWLINE, layout)
    breaks = np.flatnonzero((merged == NEWLINE).all(axis=1))
    rows, columns = len(breaks), int(breaks[0]) if len(breaks) else 0
    exact_rows = min(whole.shape[0], whole.shape[1] * height / width)
    exact_columns = min(whole.shape[1], whole.shape[0] * width / height)
    if not rows or not columns:
        assert min(exact_rows, exact_columns) < 1.01  # thinner than a patch
        return
    # off by less than two patches (int() and // 2), and the crop is in the middle
    assert abs(rows - exact_rows) < 2
    assert abs(columns - exact_columns) < 2
    top, left = (whole.shape[0] - rows) // 2, (whole.shape[1] - columns) // 2
    lines = merged.reshape(rows, columns + 1, 3)
    np.testing.assert_array_equal(lines[:, :-1], whole[top : top + rows, left : left + columns])


def test_spatial_is_the_base_and_the_map_row_by_row() -> None:
    layout = ImageLayout("anyres", "spatial", ((56, 84),))
    tiles, features = _tiles((20, 30), layout)
    merged = merge_features(tiles, features, NEWLINE, layout)
    np.testing.assert_array_equal(merged[:16], features[0])
    np.testing.assert_array_equal(merged[16:], _map(features, (2, 3)).reshape(-1, 3))


@pytest.mark.parametrize("size", [(300, 300), (300, 170), (90, 300)])
def test_reduction_is_bilinear(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    layout = ImageLayout("anyres_max_2", "spatial_unpad_nobase", GRIDS)
    tiles, features = _tiles(size, layout)
    unreduced = merge_features(tiles, features, NEWLINE, ImageLayout("anyres", "spatial_unpad_nobase", GRIDS))
    columns = int((unreduced == NEWLINE).all(axis=1).argmax())
    cropped = unreduced.reshape(-1, columns + 1, 3)[:, :-1]
    times = (cropped.shape[0] * cropped.shape[1] / 32) ** 0.5
    target = (int(cropped.shape[0] // times), int(columns // times))
    assert times > 1.1
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(cropped).permute(2, 0, 1)[None], target, mode="bilinear", align_corners=False
    )[0].permute(1, 2, 0)
    merged = merge_features(tiles, features, NEWLINE, layout).reshape(target[0], target[1] + 1, 3)
    np.testing.assert_allclose(merged[:, :-1], expected.numpy(), rtol=1e-5)
    assert (merged[:, -1] == NEWLINE).all()


def test_unknown_merge_type_is_named() -> None:
    with pytest.raises(ValueError, match="mm_patch_merge_type spatial_maxpool2x2 is not supported"):
        image_token_count((10, 10), ImageLayout("anyres", "spatial_maxpool2x2", GRIDS), SMALL)
