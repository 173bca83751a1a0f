"""What is said to be seen at each patch is where it is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from stream_omni_demo.language.seeing import Seeing, drawn, reduced, seeing_losses, what_is_seen
from stream_omni_demo.sizes import DEMO
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.world.scene import sample_scene
from stream_omni_demo.world.words import BACKGROUND_COLOURS, COLOURS, NOUNS, SIZES

VISION = DEMO.vision  # of 8 x 8 patches


def test_things_are_seen_where_they_are(world_info):
    generator = np.random.default_rng(0)
    for _ in range(30):
        scene = sample_scene(generator)
        seen = what_is_seen(scene, VISION).reshape(8, 8, 5)
        assert int(seen[..., 3].sum()) == len(scene.things)
        assert (seen[..., 4] == BACKGROUND_COLOURS.index(scene.background)).all()
        for y, x in zip(*np.nonzero(seen[..., 3]), strict=True):
            noun, colour, size = (int(number) - 1 for number in seen[y, x, :3])
            assert any((t.noun, t.colour, t.size) == (NOUNS[noun], COLOURS[colour], SIZES[size]) for t in scene.things)
        # what is not background differs from it: the patch in the middle of a thing from the one in the corner
        pixels = drawn(scene, replace(world_info, vision=VISION), generator)
        assert pixels.shape == (3, 384, 384) and -1 <= float(pixels.min()) <= float(pixels.max()) <= 1


def test_a_reduced_scene_is_the_same_scene():
    generator = np.random.default_rng(1)
    for _ in range(20):
        scene = sample_scene(generator)
        small = reduced(scene, VISION)
        assert max(small.width_px, small.height_px) == 384
        differing = what_is_seen(scene, VISION) != what_is_seen(small, VISION)
        assert differing.mean() < 0.02, "sizes are rounded to whole pixels"
        assert small.split == scene.split


def test_steps_lower_the_losses(world_info):
    torch.manual_seed(0)
    tensors, seeing = Tensors.random(world_info, "model", 0), Seeing(world_info)
    generator = np.random.default_rng(0)
    scenes = [sample_scene(generator) for _ in range(4)]
    pixels = torch.stack([drawn(scene, world_info, generator) for scene in scenes])
    seen = torch.from_numpy(np.stack([what_is_seen(scene, world_info.vision) for scene in scenes]))
    parameters = [*tensors.used_by(seeing), *seeing.head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    found = []
    for _ in range(20):
        losses = seeing_losses(tensors.run(seeing, pixels), seen)
        total = torch.stack(list(losses.values())).sum()
        found.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert found[-1] < 0.6 * found[0]
