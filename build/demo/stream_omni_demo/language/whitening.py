"""Features in which all that matters counts alike: where the vision tower begins, and what it hands on.

Filters of noise see next to nothing of pictures, whose neighbouring pixels are alike. Principal components do, each
scaled to count as much as any other: so shapes, which are less of a patch than its brightness, are seen from the start.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stream_omni.model_info import VisionSizes
from stream_omni_demo.language.picturing import CELL_PX

_LEAST_VARIANCE = 1e-3  # of a component, which otherwise would be nothing but noise made large
_LEAST_TOLD = 1e-3  # of what the most telling direction tells, else a direction is none


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


def even_features(features: Tensor, shares: Tensor, heads: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Of ``features`` [N, hidden], each counted by its share [N], and of the weights [classes, hidden] of heads that
    tell something by them: a matrix [hidden, hidden] and an offset [hidden]. ``matrix @ feature + offset`` has only
    what the heads look at, in directions of a like variance, with the mean 0 and the mean square 1 in all: as large as
    a word's embedding."""
    telling = torch.cat([head - head.mean(0) for head in heads])  # what all classes have in common tells nothing
    _, sizes, rows = torch.linalg.svd(telling, full_matrices=False)
    basis = rows[sizes > _LEAST_TOLD * sizes[0]].T  # [hidden, directions]
    mean = shares @ features
    seen = (features - mean) @ basis
    variances, axes = torch.linalg.eigh(seen.T @ (seen * shares[:, None]))
    least = _LEAST_VARIANCE * variances.mean()
    evened = axes @ torch.diag((variances + least).rsqrt()) @ axes.T / len(variances) ** 0.5
    matrix = basis @ evened @ basis.T
    return matrix, -(matrix @ mean)
