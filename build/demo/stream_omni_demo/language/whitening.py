"""A beginning for the vision tower: patches described by what tells one from another.

Filters of noise see next to nothing of pictures, whose neighbouring pixels are alike. Principal components do, each
scaled to count as much as any other: so shapes, which are less of a patch than its brightness, are seen from the start.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stream_omni.model_info import VisionSizes
from stream_omni_demo.language.picturing import CELL_PX

_LEAST_VARIANCE = 1e-3  # of a component, which otherwise would be nothing but noise made large


def patch_filters(cells: Tensor, vision: VisionSizes) -> tuple[Tensor, Tensor]:
    """Of pictures as cells [P, 3, side / CELL_PX, side / CELL_PX]: a kernel [width, 3, patch, patch] and a bias
    [width], such that the components of their patches have the mean 0 and the variance 1, or less where there is
    little to be told."""
    count = vision.patch_size_px // CELL_PX  # a side
    patches = cells.unfold(2, count, count).unfold(3, count, count)  # [P, 3, side, side, count, count]
    rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * count * count)
    mean = rows.mean(0)
    variances, components = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    best = slice(-vision.width, None)  # the variances are ascending
    scaled = components[:, best] / torch.sqrt(variances[best] + _LEAST_VARIANCE)  # [3 * count * count, width]
    kernel = scaled.T.reshape(vision.width, 3, count, count) / CELL_PX**2
    return kernel.repeat_interleave(CELL_PX, 2).repeat_interleave(CELL_PX, 3), -(mean @ scaled)
