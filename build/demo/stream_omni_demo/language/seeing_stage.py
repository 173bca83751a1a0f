"""The stage "seeing": the vision tower and the projector learn what is in a picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stream_omni.model_info import ModelInfo
from stream_omni.networks.vision import PROJECTOR, TOWER
from stream_omni.tokenizer import Tokenizer
from stream_omni_demo.checkpoint.folders import demo_info, layout_of
from stream_omni_demo.language.likeness import EMBEDDINGS
from stream_omni_demo.language.picturing import CELL_PX, drawn, scene_to_see, sketched, view
from stream_omni_demo.language.seeing import CLASSES, WORDS, Seeing, seeing_losses, what_is_seen
from stream_omni_demo.language.whitening import patch_filters
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.plan import Plan
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.world.scene import sample_scene

NAME = "seeing"
_LEARNING_RATE = 3e-3
_PATCHES = f"{TOWER}.embeddings.patch_embedding"
_PLACES = f"{TOWER}.embeddings.position_embedding.weight"
_WORDS_A_THING = 2.0  # lengths of a word's embedding that the output for a patch with a thing has
_JUDGED_BATCHES = 8
_LEAST_RIGHT = {
    "noun": 0.9,
    "colour": 0.95,
    "size": 0.9,
    "row": 0.99,
    "column": 0.99,
}  # of the patches where a thing has its centre


def make(workshop: Workshop) -> Measured:
    return train_seeing(workshop, demo_info(workshop), Tokenizer(layout_of(workshop).language))


def train_seeing(workshop: Workshop, info: ModelInfo, tokenizer: Tokenizer) -> Measured:
    plan = workshop.plan
    torch.manual_seed(plan.seed)  # of the head
    tensors = Tensors.random(info, "model", plan.seed)  # with the embeddings that the language model begins with
    seeing = Seeing(info, words_for_classes(tokenizer, tensors.get(EMBEDDINGS).data))
    cells, _ = _batch(info, plan.seeing_first_pictures, 1, np.random.default_rng((plan.seed, 5)))
    begin_seeing(info, tensors, cells)

    def losses(step: int) -> Mapping[str, Tensor]:
        generator = np.random.default_rng((plan.seed, step, 4))
        cells, seen = _batch(info, plan.seeing_pictures, plan.seeing_views, generator)
        return seeing_losses(seeing.told(tensors.run(seeing, cells)), seen)

    train(
        NAME,
        [*tensors.used_by(seeing), seeing.unnamed],
        losses,
        Recipe(plan.seeing_steps, _LEARNING_RATE),
        workshop.state(NAME),
        workshop.say,
    )
    make_as_large_as_words(info, tensors, seeing, plan)
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


def words_for_classes(tokenizer: Tokenizer, table: Tensor) -> Tensor:
    """[classes, hidden]: for :class:`Seeing`, of ``table`` [ids, hidden]."""
    rows = []
    for name, count in CLASSES.items():
        words = WORDS.get(name, [""] * count)
        rows += [table[tokenizer.encode(f" {word}")].sum(0) * bool(word) for word in words]
    return torch.stack(rows)


def make_as_large_as_words(info: ModelInfo, tensors: Tensors, seeing: Seeing, plan: Plan) -> None:
    """The projector's output, of patches with a thing: no block could add anything to what is a thousand times as
    large as all that it adds."""
    cells, seen = _batch(info, plan.seeing_first_pictures, 1, np.random.default_rng((plan.seed, 6)))
    with torch.no_grad():
        lengths = tensors.run(seeing, cells).norm(dim=-1)[seen[..., 0] > 0]
        for leaf in ("weight", "bias"):
            tensors.get(f"{PROJECTOR}.2.{leaf}").data.mul_(_WORDS_A_THING / lengths.mean())


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
        for i, name in enumerate(CLASSES):
            if name in right:
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
