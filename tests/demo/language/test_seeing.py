"""What is said to be seen at each patch is where it is drawn."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from stream_omni_demo.language.likeness import EMBEDDINGS
from stream_omni_demo.language.picturing import CELL_PX, drawn, scaled, scene_to_see, sketched, view
from stream_omni_demo.language.seeing import WORDS, Seeing, seeing_losses, what_is_seen
from stream_omni_demo.language.seeing_stage import begin_seeing, make_as_large_as_words, words_for_classes
from stream_omni_demo.language.served import Trained
from stream_omni_demo.language.whitening import patch_filters
from stream_omni_demo.plan import SMOKE
from stream_omni_demo.sizes import DEMO
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.world.scene import sample_scene
from stream_omni_demo.world.words import BACKGROUND_COLOURS, COLOURS, NOUNS, SIZES

from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import Tokenizer

VISION = DEMO.vision


def test_things_are_seen_where_they_are(world_info):
    generator = np.random.default_rng(0)
    for _ in range(30):
        scene = sample_scene(generator)
        seen = what_is_seen(scene, VISION).reshape(VISION.side_patches, VISION.side_patches, 7)
        assert int(seen[..., 3].sum()) == len(scene.things)
        assert (seen[..., 5] == [[0], [1], [2]]).all() and (seen[..., 6] == [[0, 1, 2]]).all()
        assert (seen[..., 4] == BACKGROUND_COLOURS.index(scene.background)).all()
        for y, x in zip(*np.nonzero(seen[..., 3]), strict=True):
            noun, colour, size = (int(number) - 1 for number in seen[y, x, :3])
            assert any((t.noun, t.colour, t.size) == (NOUNS[noun], COLOURS[colour], SIZES[size]) for t in scene.things)
        # what is not background differs from it: the patch in the middle of a thing from the one in the corner
        pixels = drawn(scene, replace(world_info, vision=VISION), generator)
        assert (
            pixels.shape == (3, VISION.image_size_px, VISION.image_size_px)
            and -1 <= float(pixels.min()) <= float(pixels.max()) <= 1
        )


def test_a_scaled_scene_is_the_same_scene():
    generator = np.random.default_rng(1)
    for _ in range(20):
        scene = sample_scene(generator)
        small = scaled(scene, 384)
        assert max(small.width_px, small.height_px) == 384
        differing = what_is_seen(scene, VISION) != what_is_seen(small, VISION)
        assert differing.mean() < 0.02, "sizes are rounded to whole pixels"
        assert small.split == scene.split


def test_a_sketch_is_nearly_the_picture(world_info):
    for seed in range(10):
        scene = scene_to_see(np.random.default_rng(seed))
        picture = drawn(scene, world_info, np.random.default_rng(seed))
        cells = torch.nn.functional.avg_pool2d(picture, CELL_PX)
        sketch = sketched(scene, world_info.vision, np.random.default_rng(seed))
        assert sketch.shape == cells.shape and float((sketch - cells).abs().median()) < 0.2


def test_a_view_shows_what_it_says(world_info):
    """What is at a thing's centre in the sketch is at its centre in the view."""
    generator, agreed = np.random.default_rng(3), []
    for _ in range(20):
        scene = scene_to_see(generator)
        sketch = sketched(scene, world_info.vision, generator)
        moved, moved_scene = view(sketch, scene, generator)
        assert moved.shape == sketch.shape
        for before, after in zip(scene.things, moved_scene.things, strict=True):
            colours = [at_centre(*which) for which in ((sketch, scene, before), (moved, moved_scene, after))]
            if all(colour is not None for colour in colours):
                agreed.append(float((colours[0] - colours[1]).abs().max()) < 0.5)
    assert len(agreed) > 50 and np.mean(agreed) > 0.9, "but for rounding to cells"


def at_centre(cells, scene, thing) -> torch.Tensor | None:
    px = max(scene.width_px, scene.height_px) / cells.shape[-1]
    left, top = ((max(scene.width_px, scene.height_px) - side) / 2 for side in (scene.width_px, scene.height_px))
    x, y = int((thing.centre_x_px + left) / px), int((thing.centre_y_px + top) / px)
    inside = 0 <= x < cells.shape[-1] and 0 <= y < cells.shape[-1]
    return cells[:, y, x] if inside else None


def first_pictures(world_info, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    scenes = [scene_to_see(generator) for _ in range(count)]
    cells = torch.stack([sketched(scene, world_info.vision, generator) for scene in scenes])
    return cells, torch.from_numpy(np.stack([what_is_seen(scene, world_info.vision) for scene in scenes]))


@pytest.fixture(scope="module")
def begun(world_info) -> Tensors:
    """For the first six pictures."""
    tensors = Tensors.random(world_info, "model", 0)
    begin_seeing(world_info, tensors, first_pictures(world_info, 6)[0])
    return tensors


def test_cells_are_seen_as_pixels_are(world_info, world_tokenizer, begun):
    """By filters that tell nothing apart within a cell."""
    tensors = begun
    seeing = see(world_info, world_tokenizer, tensors)
    pixels = torch.randn(2, 3, 384, 384)
    by_cells = tensors.run(seeing, torch.nn.functional.avg_pool2d(pixels, CELL_PX))
    session = Trained(world_info, tensors, as_written=None).session("vision_encoder")
    projected = torch.from_numpy(session.run({"pixels": pixels.numpy()})["projected"])
    torch.testing.assert_close(by_cells, projected, atol=1e-3, rtol=1e-3)


def test_filters_make_what_differs_between_patches_count_alike(world_info):
    cells, _ = first_pictures(world_info, 40)
    kernel, bias = patch_filters(cells, world_info.vision)
    pixels = cells.repeat_interleave(CELL_PX, 2).repeat_interleave(CELL_PX, 3)
    described = torch.nn.functional.conv2d(pixels, kernel, bias, stride=kernel.shape[-1]).transpose(0, 1).flatten(1)
    assert described.shape[0] == world_info.vision.width
    torch.testing.assert_close(described.mean(1), torch.zeros(len(described)), atol=1e-2, rtol=0)
    covariance = described @ described.T / described.shape[1]
    variances = covariance.diagonal()
    assert 0.9 < float(variances.max()) < 1.1 and float((covariance - variances.diag()).abs().max()) < 0.05


def see(info: ModelInfo, tokenizer: Tokenizer, tensors: Tensors) -> Seeing:
    torch.manual_seed(0)
    return Seeing(info, words_for_classes(tokenizer, tensors.get(EMBEDDINGS).data))


def test_a_patch_like_words_is_told_to_be_what_they_say(world_info, world_tokenizer, begun):
    seeing, table = see(world_info, world_tokenizer, begun), begun.get(EMBEDDINGS).data
    said = {"noun": "tree", "colour": "purple", "size": "big", "row": "bottom", "column": "left"}
    projected = sum(table[world_tokenizer.encode(f" {word}")[0]] for word in said.values())
    told = seeing.told(projected[None, None])
    for name, word in said.items():
        assert WORDS[name][int(told[name].argmax())] == word


def test_what_is_seen_becomes_as_large_as_words_and_stays_what_it_was(world_info, world_tokenizer, begun):
    tensors, (cells, seen) = copy.deepcopy(begun), first_pictures(world_info, 6)
    seeing = see(world_info, world_tokenizer, tensors)
    before = seeing.told(tensors.run(seeing, cells))
    make_as_large_as_words(world_info, tensors, seeing, replace(SMOKE, seeing_first_pictures=40))
    projected = tensors.run(seeing, cells)
    for name, logits in seeing.told(projected).items():
        torch.testing.assert_close(logits, before[name], atol=1e-3, rtol=1e-3)
    words = float(projected[seen[..., 0] > 0].norm(dim=-1).mean() / tensors.get(EMBEDDINGS).norm(dim=-1).mean())
    assert 1 < words < 4


def test_steps_lower_the_losses(world_info, world_tokenizer, begun):
    tensors = copy.deepcopy(begun)
    seeing = see(world_info, world_tokenizer, tensors)
    cells, seen = first_pictures(world_info, 6)
    parameters = [*tensors.used_by(seeing), seeing.unnamed]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    found = []
    for _ in range(60):
        total = torch.stack(list(seeing_losses(seeing.told(tensors.run(seeing, cells)), seen).values())).sum()
        found.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert found[-1] < 0.6 * found[0]
