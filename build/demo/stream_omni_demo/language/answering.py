"""Training of the language model: what to answer, whatever the question came as.

The vision tower and the projector stay as they are. They see well already, and each step of an optimizer that is as
large for all would be a large one for the filters of pixels, which are many and small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni.networks.llm import Llm
from stream_omni.networks.vision import VisionEncoder
from stream_omni.text_engine import FROM_EMBEDS
from stream_omni_demo.language.reading import Context, read


@dataclass(frozen=True)
class Asked:
    """Sequences: ``ids`` [R, T], of which ``lengths`` [R] count. Where an id is FROM_EMBEDS stands speech, or text that
    was read with it: the mean embedding under ``heard`` [number of such places, text_size]."""

    ids: Tensor
    lengths: Tensor
    heard: Tensor | None = None


@dataclass(frozen=True)
class Rest:
    """What follows the beginnings ``parents`` [R]: the rest of each prompt, its answer and the end id. The answer is
    all of a row from ``answer_at`` [R] on."""

    asked: Asked
    parents: Tensor
    answer_at: Tensor


@dataclass(frozen=True)
class Questions:
    """P beginnings of prompts, each with its picture (``pixels`` [P, 3, side, side]; None: none has one) at
    ``picture_at`` [P]; and what is asked after them, rests of a like length together."""

    beginnings: Asked
    rests: tuple[Rest, ...]
    pixels: Tensor | None = None
    picture_at: Tensor | None = None


class Answering(nn.Module):
    """The served networks, and their loss."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        llm, vision = make_network("llm", info), make_network("vision_encoder", info)
        assert isinstance(llm, Llm)
        assert isinstance(vision, VisionEncoder)
        self.llm, self.vision, self.info = llm, vision, info

    def forward(self, batches: Sequence[Questions]) -> Tensor:
        """The mean loss of an answer's token."""
        losses, tokens = [], 0
        for batch in batches:
            context = self.begin(batch)
            for rest in batch.rests:
                rows, at, targets = answer_places(rest)
                losses.append(F.cross_entropy(self.logits(rest, context, rows, at), targets, reduction="sum"))
                tokens += len(targets)
        return torch.stack(losses).sum() / tokens

    def begin(self, batch: Questions) -> Context:
        sizes, beginnings = self.info.llama, self._embed(batch.beginnings)
        if batch.pixels is not None:
            assert batch.picture_at is not None
            with torch.no_grad():
                _, projected = self.vision(batch.pixels)  # [P, patches, hidden]
            places = batch.picture_at[:, None] + torch.arange(projected.shape[1])
            beginnings = torch.index_put(beginnings, (torch.arange(len(places))[:, None], places), projected)
        empty = Context.empty(sizes, sizes.llm_layers, len(beginnings))
        return read(self.llm.stack, beginnings, batch.beginnings.lengths, empty)[1]

    def logits(self, rest: Rest, context: Context, rows: Tensor, at: Tensor) -> Tensor:
        """Of the token after each place (``rows``, ``at``) [N]: [N, text_size]."""
        y, _ = read(self.llm.stack, self._embed(rest.asked), rest.asked.lengths, context.of(rest.parents))
        return self.llm.head(self.llm.stack.norm(y[rows, at]))  # type: ignore[no-any-return]

    def _embed(self, asked: Asked) -> Tensor:
        """[R, T, hidden]; a picture's places hold anything."""
        x = F.embedding(asked.ids.clamp(min=0), self.llm.table)
        if asked.heard is None:
            return x
        places = (asked.ids == FROM_EMBEDS).nonzero(as_tuple=True)
        return torch.index_put(x, places, torch.matmul(asked.heard, self.llm.table))


def answer_places(rest: Rest) -> tuple[Tensor, Tensor, Tensor]:
    """The places after which comes a token of an answer, and those tokens: rows, positions and ids, each [N]."""
    index = torch.arange(rest.asked.ids.shape[1])
    answer = (index >= rest.answer_at[:, None]) & (index < rest.asked.lengths[:, None])
    rows, at = answer.nonzero(as_tuple=True)
    return rows, at - 1, rest.asked.ids[rows, at]
