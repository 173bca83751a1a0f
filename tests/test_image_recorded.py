"""Picture to prompt rows, through the tower, for every recorded picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stream_omni.image import decode_image
from stream_omni.image_merge import merge_features
from stream_omni.image_tiles import tile_image
from stream_omni.model_info import ImageLayout, LlamaSizes, ModelInfo, Rope, VisionSizes, Vocabulary
from stream_omni.networks.vision import VisionEncoder
from stream_omni.networks.weights import load_weights
from stream_omni.tensor_files import CheckpointTensors
from tests.recorded_images import image_cases, image_layout

VISION = VisionSizes(32, 64, 2, 2, image_size_px=384, patch_size_px=14, layer_norm_eps=1e-6)
INFO = ModelInfo(
    name="recorded",
    llama=LlamaSizes(64, 128, 4, 2, 16, 2, 4, 2, 1e-5, Rope(500_000.0)),
    vocabulary=Vocabulary(132352, 132352, 4096, bos=128000, eot=128009, blank=128002, eos=(128009,)),
    vision=VISION,
    image=ImageLayout("pad", "flat", ()),
    context_tokens=32768,
    system_prompt="",
)


@pytest.fixture(scope="module")
def newline(tiny_checkpoint: Path) -> np.ndarray:
    return CheckpointTensors(tiny_checkpoint).get("model.image_newline")


@pytest.fixture(scope="module")
def project(tiny_checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    with torch.device("meta"):
        tower = VisionEncoder(INFO)
    load_weights(tower, CheckpointTensors(tiny_checkpoint))
    return torch.no_grad()(lambda pixels: tower(torch.from_numpy(pixels))[1].numpy())


@pytest.mark.parametrize("name", image_cases())
def test_merged_features(
    fixtures_dir: Path, project: Callable[[np.ndarray], np.ndarray], newline: np.ndarray, name: str
) -> None:
    case = json.loads((fixtures_dir / "cases" / f"{name}.json").read_text())
    arrays = np.load(fixtures_dir / "cases" / f"{name}.npz")
    layout = image_layout(case["image_config"])
    tiles = tile_image(decode_image((fixtures_dir / "images" / case["image"]).read_bytes()), layout, VISION)
    merged = merge_features(tiles, project(tiles.pixels), newline, layout)
    if "merged_image_features" in arrays:
        expected = arrays["merged_image_features"]
    else:  # a text question: the rows stand in the prompt
        expected = arrays["llm_prompt_embeds"][case["image_at"] :][: len(merged)]
    assert len(merged) == case["n_image_tokens"]
    chosen = merged[arrays["token_index"]] if "token_index" in arrays else merged
    np.testing.assert_allclose(chosen, expected, rtol=0, atol=2e-4)
