"""Training of the vision tower and the projector by themselves: what is to be seen at each patch of a picture.

The language model learns from answers alone where to look, which takes long while there is nothing to be seen. So the
tower learns first what stands where, and to say it in the language model's own words: what the projector makes of a
patch is to be like the embeddings of the words for what is there. What there is no word for is told through rows of a
head that is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo, VisionSizes
from stream_omni.networks import make_network
from stream_omni.networks.vision import VisionEncoder
from stream_omni_demo.language.picturing import CELL_PX
from stream_omni_demo.world.scene import Scene
from stream_omni_demo.world.words import BACKGROUND_COLOURS, COLOURS, NOUNS, SIZES

_LEAST_SHARE = 0.12  # of a patch that must be a thing's, to be seen as that thing
_GRID = 3  # rows and columns that one can tell apart
# What each patch tells: a thing's noun, colour and size (0: no thing), whether its centre is here, the background, and
# where in the picture it is: the language model's own positions tell that of a patch among all prompts' only roughly
CLASSES = {
    "noun": len(NOUNS) + 1,
    "colour": len(COLOURS) + 1,
    "size": len(SIZES) + 1,
    "centre": 2,
    "background": len(BACKGROUND_COLOURS),
    "row": _GRID,
    "column": _GRID,
}


# What of it there are words for, by number
WORDS: Mapping[str, Sequence[str]] = {
    "noun": ("", *NOUNS),
    "colour": ("", *COLOURS),
    "size": ("", *SIZES),
    "row": ("top", "", "bottom"),
    "column": ("left", "", "right"),
}


class Seeing(nn.Module):
    """The served network, with a patch embedding that sees cells instead of pixels, and what tells classes by its
    output: ``words`` [classes, hidden], embeddings of words, 0 for classes that no word stands for."""

    words: Tensor

    def __init__(self, info: ModelInfo, words: Tensor) -> None:
        super().__init__()
        vision = make_network("vision_encoder", info)
        assert isinstance(vision, VisionEncoder)
        self.vision = vision
        self.register_buffer("words", words)
        self.unnamed = nn.Parameter(torch.randn_like(words) / words.shape[1] ** 0.5)

    def forward(self, cells: Tensor) -> Tensor:
        """``cells`` [P, 3, side / CELL_PX, side / CELL_PX] -> what the projector makes of them [P, patches, hidden],
        the same as of pixels that are all alike within a cell."""
        sizes, vision = self.vision.sizes, self.vision
        count = sizes.patch_size_px // CELL_PX  # a side
        patches = cells.unfold(2, count, count).unfold(3, count, count)  # [P, 3, side, side, count, count]
        rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(len(cells), sizes.patches, -1)
        kernel = vision.patch_embedding.weight.reshape(3, count, CELL_PX, count, CELL_PX, -1)
        assert vision.patch_embedding.bias is not None
        x = torch.matmul(rows, kernel.sum((2, 4)).flatten(0, 2)) + vision.patch_embedding.bias
        return vision.from_patches(x)[1]

    def told(self, projected: Tensor) -> dict[str, Tensor]:
        """Logits [P, patches, classes] by the names of :data:`CLASSES`, of the output as a block's norm has it."""
        rows = torch.where(self.words.any(1, keepdim=True), self.words, self.unnamed)
        logits = torch.matmul(projected * projected.square().mean(-1, keepdim=True).rsqrt(), rows.T)
        return dict(zip(CLASSES, torch.split(logits, list(CLASSES.values()), -1), strict=True))


def seeing_losses(shown: Mapping[str, Tensor], seen: Tensor) -> dict[str, Tensor]:
    """``seen`` [P, patches, 7], as :func:`what_is_seen` has it."""
    shares, found = patch_shares(seen), {}
    for i, (name, logits) in enumerate(shown.items()):
        losses = F.cross_entropy(logits.flatten(0, 1), seen[..., i].flatten(), reduction="none")
        found[name] = (losses * shares.flatten()).sum()
    return found


def patch_shares(seen: Tensor) -> Tensor:
    """How much each patch counts, [P, patches], together 1: those that show a thing as much as all others, of which
    there are many more."""
    things = seen[..., 0] > 0
    return torch.where(things, 0.5 / things.sum().clamp(min=1), 0.5 / (~things).sum().clamp(min=1))


def what_is_seen(scene: Scene, vision: VisionSizes) -> NDArray[np.int64]:
    """[patches, 7] numbers of classes. The picture fills a square of the tower's size, as layout "pad" has it."""
    side_px = max(scene.width_px, scene.height_px)
    scale = vision.image_size_px / side_px / vision.patch_size_px  # patches a pixel
    left_px, top_px = (side_px - scene.width_px) // 2, (side_px - scene.height_px) // 2
    seen = np.zeros((vision.side_patches, vision.side_patches, len(CLASSES)), np.int64)
    most = np.full(seen.shape[:2], _LEAST_SHARE)
    for thing in scene.things:
        x, y = (thing.centre_x_px + left_px) * scale, (thing.centre_y_px + top_px) * scale
        reach = thing.side_px * scale / 2
        share = np.outer(_covered(y - reach, y + reach, len(seen)), _covered(x - reach, x + reach, len(seen)))
        here = share > most
        most = np.maximum(most, share)
        seen[here, :3] = NOUNS.index(thing.noun) + 1, COLOURS.index(thing.colour) + 1, SIZES.index(thing.size) + 1
        if 0 <= y < len(seen) and 0 <= x < len(seen):
            seen[int(y), int(x), 3] = 1
    seen[..., 4] = BACKGROUND_COLOURS.index(scene.background)
    thirds = np.arange(len(seen)) * _GRID // len(seen)
    seen[..., 5], seen[..., 6] = thirds[:, None], thirds
    return seen.reshape(vision.patches, len(CLASSES))


def _covered(begin: float, end: float, patches: int) -> NDArray[np.float64]:
    """The share of each of a row's patches between ``begin`` and ``end``, both counted in patches."""
    edges = np.arange(patches + 1).clip(begin, end)
    return np.diff(edges)
