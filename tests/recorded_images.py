"""The recorded cases that show a picture, and their image layout."""

from __future__ import annotations

import json
from typing import Any

from stream_omni.model_info import ImageLayout
from tests.conftest import FIXTURES


def image_cases() -> list[str]:
    paths = sorted((FIXTURES / "cases").glob("*.json"))
    return [path.stem for path in paths if "image" in json.loads(path.read_text(encoding="utf-8"))]


def image_layout(config: dict[str, Any]) -> ImageLayout:
    pinpoints = config["image_grid_pinpoints"]
    if pinpoints == "(1x1),...,(6x6)":
        pinpoints = [(384 * columns, 384 * rows) for columns in range(1, 7) for rows in range(1, 7)]
    grids = tuple((width, height) for width, height in pinpoints)
    return ImageLayout(config["image_aspect_ratio"], config["mm_patch_merge_type"], grids)
