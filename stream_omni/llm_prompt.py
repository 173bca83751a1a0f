"""What enters the LLM: ids, soft embeddings and picture features in one sequence (algorithm: the reference's
``prepare_inputs_labels_for_multimodal``)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream_omni.prompt import IMAGE_ID, Prompt
from stream_omni.text_engine import FROM_EMBEDS

Rows = NDArray[np.float32]


def llm_prompt(
    prompt: Prompt, pictures: Sequence[Rows], hidden: int, soft_embeds: Rows | None = None
) -> tuple[NDArray[np.int64], Rows]:
    """(ids [T], embeds [M, ``hidden``]) for a :class:`stream_omni.text_engine.TextRequest`.

    ``pictures`` [n, hidden] each take the place of an IMAGE_ID. ``soft_embeds`` [L, hidden] take the place of all other
    ids; without them (a text question) the ids stay. Raises ValueError where the counts disagree.
    """
    if len(pictures) != len(prompt.image_at):
        raise ValueError(f"the prompt has places for {len(prompt.image_at)} pictures, {len(pictures)} were given")
    bounds = [-1, *prompt.image_at, len(prompt.ids)]
    ids: list[NDArray[np.int64]] = []
    rows: list[Rows] = []
    spoken = 0  # positions so far, without pictures
    for number, (before, after) in enumerate(pairwise(bounds)):
        if number:
            picture = pictures[number - 1]
            ids.append(np.full(len(picture), FROM_EMBEDS, np.int64))
            rows.append(picture)
        piece = prompt.ids[before + 1 : after]
        assert IMAGE_ID not in piece
        if soft_embeds is None:
            ids.append(piece)
        else:
            ids.append(np.full(len(piece), FROM_EMBEDS, np.int64))
            rows.append(soft_embeds[spoken : spoken + len(piece)])
        spoken += len(piece)
    if soft_embeds is not None and len(soft_embeds) != spoken:
        raise ValueError(f"the prompt has {spoken} positions without pictures, but {len(soft_embeds)} soft embeddings")
    return np.concatenate(ids), np.concatenate([np.zeros((0, hidden), np.float32), *rows])
