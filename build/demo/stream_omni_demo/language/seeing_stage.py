"""The stage "seeing": the vision tower and the projector learn what is in a picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stream_omni.model_info import ModelInfo
from stream_omni.networks.vision import PROJECTOR, TOWER
from stream_omni_demo.checkpoint.folders import demo_info
from stream_omni_demo.language.picturing import CELL_PX, drawn, scene_to_see, sketched, view
from stream_omni_demo.language.seeing import CLASSES, Seeing, patch_shares, seeing_losses, what_is_seen
from stream_omni_demo.language.whitening import even_features, patch_filters
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.plan import Plan
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.world.scene import sample_scene

NAME = "seeing"
_LEARNING_RATE = 3e-3
_PATCHES = f"{TOWER}.embeddings.patch_embedding"
_PLACES = f"{TOWER}.embeddings.position_embedding.weight"
_JUDGED_BATCHES = 8
_LEAST_RIGHT = {"noun": 0.9, "colour": 0.95, "size": 0.9}  # of the patches where a thing has its centre


def make(workshop: Workshop) -> Measured:
    return train_seeing(workshop, demo_info(workshop))


def train_seeing(workshop: Workshop, info: ModelInfo) -> Measured:
    plan = workshop.plan
    torch.manual_seed(plan.seed)  # of the head
    tensors, seeing = Tensors.random(info, "model", plan.seed), Seeing(info)
    cells, _ = _batch(info, plan.seeing_first_pictures, 1, np.random.default_rng((plan.seed, 5)))
    begin_seeing(info, tensors, cells)

    def losses(step: int) -> Mapping[str, Tensor]:
        generator = np.random.default_rng((plan.seed, step, 4))
        cells, seen = _batch(info, plan.seeing_pictures, plan.seeing_views, generator)
        return seeing_losses(seeing.told(tensors.run(seeing, cells)), seen)

    train(
        NAME,
        [*tensors.used_by(seeing), *seeing.head.parameters()],
        losses,
        Recipe(plan.seeing_steps, _LEARNING_RATE),
        workshop.state(NAME),
        workshop.say,
    )
    _even_out(info, tensors, seeing, plan)
    tensors.save(workshop.trained(NAME), seeing)
    return _judge(info, tensors, seeing, plan.seeing_pictures * plan.seeing_views)


def begin_seeing(info: ModelInfo, tensors: Tensors, cells: Tensor) -> None:
    """With filters that tell apart what is in ``cells``, and places as large as what those tell, else they are not
    seen."""
    kernel, bias = patch_filters(cells, info.vision)
    tensors.get(f"{_PATCHES}.weight").data.copy_(kernel)
    tensors.get(f"{_PATCHES}.bias").data.copy_(bias)
    tensors.get(_PLACES).data.mul_(info.vision.width**0.5)


def _batch(info: ModelInfo, pictures: int, views: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Views of pictures in cells, and what is seen at their patches."""
    cells, seen = [], []
    for _ in range(pictures):
        scene = scene_to_see(generator)
        sketch = sketched(scene, info.vision, generator)
        for _ in range(views):
            moved, moved_scene = view(sketch, scene, generator)
            cells.append(moved)
            seen.append(what_is_seen(moved_scene, info.vision))
    return torch.stack(cells), torch.from_numpy(np.stack(seen))


def _even_out(info: ModelInfo, tensors: Tensors, seeing: Seeing, plan: Plan) -> None:
    """Make the projector's output as large as the words' embeddings beside it, and all that the head tells of it count
    alike: what is a thousand times as large as a block's output cannot be worked on by any block."""
    generator = np.random.default_rng((plan.seed, 6))
    cells, seen = _batch(info, plan.seeing_first_pictures, 1, generator)
    with torch.no_grad():
        projected, head = tensors.run(seeing, cells).flatten(0, 1), seeing.head
        matrix, offset = even_features(
            projected, patch_shares(seen).flatten(), torch.split(head.weight, list(CLASSES.values()))
        )
        weight, bias = (tensors.get(f"{PROJECTOR}.2.{leaf}").data for leaf in ("weight", "bias"))
        weight.copy_(matrix @ weight)
        bias.copy_(matrix @ bias + offset)
        head.weight.copy_(head.weight @ torch.linalg.pinv(matrix))
        head.bias.sub_(head.weight @ offset)


def _judge(info: ModelInfo, tensors: Tensors, seeing: Seeing, pictures: int) -> Measured:
    """On held-out scenes: the share of centres at which each is seen rightly."""
    generator = np.random.default_rng(0)
    right: dict[str, list[Tensor]] = {name: [] for name in _LEAST_RIGHT}
    for _ in range(_JUDGED_BATCHES):
        scenes = [sample_scene(generator, "held_out") for _ in range(pictures)]
        pixels = torch.stack([drawn(scene, info, generator) for scene in scenes])
        seen = torch.from_numpy(np.stack([what_is_seen(scene, info.vision) for scene in scenes]))
        with torch.no_grad():
            shown = seeing.told(tensors.run(seeing, F.avg_pool2d(pixels, CELL_PX)))
        centres = seen[..., 3] == 1
        for i, name in enumerate(_LEAST_RIGHT):
            right[name].append(shown[name].argmax(-1)[centres] == seen[..., i][centres])
    return {name: float(torch.cat(found).float().mean()) for name, found in right.items()}


def gate(measured: Measured) -> str:
    return "; ".join(
        f"the {name} of {measured[name]:.1%} of the things is seen, at least {least:.0%} must be"
        for name, least in _LEAST_RIGHT.items()
        if measured[name] < least
    )


STAGE = Stage(
    NAME,
    "the vision tower learns what is in a picture",
    make,
    gate,
    needs=("layout",),
    amounts=("seeing_steps", "seeing_pictures", "seeing_views", "seeing_first_pictures"),
)
