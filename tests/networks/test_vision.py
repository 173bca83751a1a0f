"""The vision encoder against recorded features, from the recorded pictures' own pixels."""

from __future__ import annotations

import numpy as np
import pytest

from stream_omni.checkpoint import read_image_layout
from stream_omni.image import decode_image
from stream_omni.image_tiles import tile_image
from tests.recorded_turns import recorded, torch_runtime


@pytest.mark.parametrize("name", ["t2t_img", "s2s_img", "t2t_img_anyres", "vmerge_pad_tall"])
def test_features_are_as_recorded(tiny_checkpoint, fixtures_dir, name):
    fields, arrays = recorded(name)
    runtime = torch_runtime(tiny_checkpoint)
    layout = read_image_layout(fields["image_config"], runtime.info.vision.image_size_px)
    picture = decode_image((fixtures_dir / "images" / fields["image"]).read_bytes())
    tiles = tile_image(picture, layout, runtime.info.vision)
    encoded = runtime.session("vision_encoder").run({"pixels": tiles.pixels})
    assert encoded["features"].shape == (len(tiles.pixels), 729, 32)
    for field, found in (
        ("vision_features", encoded["features"][0]),
        ("vision_features_last_tile", encoded["features"][-1]),
        ("projected_features_last_tile", encoded["projected"][-1]),
    ):
        if field in arrays:
            assert np.abs(found - arrays[field]).max() < 2e-4
    if len(tiles.pixels) == 1 and "merged_image_features" in arrays:
        assert np.abs(encoded["projected"][0] - arrays["merged_image_features"]).max() < 2e-4
