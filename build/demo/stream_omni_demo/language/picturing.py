"""Pictures to train on, as the vision tower is given them, and quicker ones that teach it the same."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stream_omni.image_tiles import tile_image
from stream_omni.model_info import ModelInfo, VisionSizes
from stream_omni_demo.world.drawing import draw
from stream_omni_demo.world.scene import Scene, sample_scene, sample_scene_with, sample_thing

CELL_PX = 2  # of the tower's picture: finer detail tells nothing apart here
_REDUCED = 0.7  # of the pictures: those that are drawn in the tower's own size
_PADDING = (127, 127, 127)  # as layout "pad" has it
_MOVED_CELLS = 1
_FULL = 0.7  # of the scenes to see by themselves: those with more things than are ever asked about
_FULL_THINGS = (4, 9)
_CELLS = tuple(itertools.product(range(3), repeat=2))


def drawn(scene: Scene, info: ModelInfo, generator: np.random.Generator) -> Tensor:
    """[3, side, side]: the scene as a picture, as the vision tower is given it."""
    if generator.random() < _REDUCED:  # to reduce a picture takes longer than to draw it
        scene = scaled(scene, info.vision.image_size_px)
    return torch.from_numpy(tile_image(draw(scene, generator), info.image, info.vision).pixels[0])


def sketched(scene: Scene, vision: VisionSizes, generator: np.random.Generator) -> Tensor:
    """[3, side / CELL_PX, side / CELL_PX]: the means of the picture's cells, drawn in the tower's own size."""
    side_px = vision.image_size_px
    picture = draw(scaled(scene, side_px), generator)
    square = Image.new("RGB", (side_px, side_px), _PADDING)
    square.paste(picture, ((side_px - picture.width) // 2, (side_px - picture.height) // 2))
    pixels = torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).to(torch.float32)
    return F.avg_pool2d(pixels, CELL_PX) * (2 / 255) - 1


def view(cells: Tensor, scene: Scene, generator: np.random.Generator) -> tuple[Tensor, Scene]:
    """A picture and its scene as they are in a mirror, or moved a little, or both: quicker than drawing
    another one. What comes in at the edges is more of what is there."""
    longer_px = max(scene.width_px, scene.height_px)
    px = longer_px / cells.shape[-1]  # of the scene, a cell
    left, up = (int(n) for n in generator.integers(-_MOVED_CELLS, _MOVED_CELLS + 1, 2))
    edges = F.pad(cells[None], (_MOVED_CELLS,) * 4, mode="replicate")[0]
    rows, columns = (slice(_MOVED_CELLS + n, _MOVED_CELLS + n + cells.shape[-1]) for n in (up, left))
    moved = edges[:, rows, columns]
    things = [
        replace(t, centre_x_px=t.centre_x_px - left * px, centre_y_px=t.centre_y_px - up * px) for t in scene.things
    ]
    if generator.random() < 0.5:
        moved = moved.flip(-1)
        things = [replace(thing, centre_x_px=scene.width_px - thing.centre_x_px) for thing in things]
    return moved, replace(scene, things=tuple(things))


def scaled(scene: Scene, longer_px: int) -> Scene:
    """The same with a longer side of so many pixels."""
    scale = longer_px / max(scene.width_px, scene.height_px)
    things = tuple(
        replace(
            thing,
            centre_x_px=thing.centre_x_px * scale,
            centre_y_px=thing.centre_y_px * scale,
            side_px=thing.side_px * scale,
        )
        for thing in scene.things
    )
    width_px, height_px = round(scene.width_px * scale), round(scene.height_px * scale)
    return replace(scene, things=things, width_px=width_px, height_px=height_px)


def scene_to_see(generator: np.random.Generator) -> Scene:
    """One of the training's scenes, or one with more things: each teaches what it looks like."""
    return _full(generator) if generator.random() < _FULL else sample_scene(generator)


def _full(generator: np.random.Generator) -> Scene:
    while True:
        cells = generator.permutation(len(_CELLS))[: int(generator.integers(*_FULL_THINGS))]
        things = [sample_thing(generator, row=_CELLS[cell][0], column=_CELLS[cell][1]) for cell in cells]
        if scene := sample_scene_with(things, generator):
            return scene
