"""Tiles of several calls through one run: each call gets back its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from stream_omni.runtime.session import Array
from stream_omni.runtime.torch_runtime import TorchRuntime
from stream_omni.tile_calls import encode_tiles, tiles_of


def calls(info_px: int, counts: tuple[int, ...]) -> list[Mapping[str, Array]]:
    random = np.random.default_rng(0)
    return [{"pixels": random.uniform(-1, 1, (count, 3, info_px, info_px)).astype(np.float32)} for count in counts]


@pytest.mark.parametrize("counts", [(2,), (2, 2), (1, 1, 1)])
def test_each_call_gets_its_own_tiles(voice_runtime: TorchRuntime, counts: tuple[int, ...]) -> None:
    encoder = voice_runtime.session("vision_encoder")
    asked = calls(voice_runtime.info.vision.image_size_px, counts)
    assert [tiles_of(call) for call in asked] == list(counts)
    together = encode_tiles(encoder, asked)
    for call, found in zip(asked, together, strict=True):
        alone = encoder.run({"pixels": call["pixels"]})["projected"]
        np.testing.assert_allclose(found["projected"], alone, atol=1e-5)
        assert found["projected"].shape == alone.shape
