"""Training of the language model, the vision tower and the projector: what to answer, whatever the question came as."""

from __future__ import annotations

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
class Questions:
    """P beginnings, each with its picture (``pixels`` [P, 3, side, side]; None: none has one) at ``picture_at`` [P];
    and what is asked after them: the ``rest`` of R prompts with their answers and the end id, each after ``parents``
    [R]. The answer is all of a row from ``answer_at`` [R] on."""

    beginnings: Asked
    rest: Asked
    parents: Tensor
    answer_at: Tensor
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

    def forward(self, batches: list[Questions]) -> Tensor:
        """The mean loss of an answer's token."""
        losses, tokens = [], 0
        for batch in batches:
            rows, at, targets = answer_places(batch)
            losses.append(F.cross_entropy(self.logits(batch, rows, at), targets, reduction="sum"))
            tokens += len(targets)
        return torch.stack(losses).sum() / tokens

    def logits(self, batch: Questions, rows: Tensor, at: Tensor) -> Tensor:
        """Of the token after each place (``rows``, ``at``) [N] of ``batch.rest``: [N, text_size]."""
        stack, sizes = self.llm.stack, self.info.llama
        beginnings = self._embed(batch.beginnings)
        if batch.pixels is not None:
            assert batch.picture_at is not None
            _, projected = self.vision(batch.pixels)  # [P, patches, hidden]
            places = batch.picture_at[:, None] + torch.arange(projected.shape[1])
            beginnings = torch.index_put(beginnings, (torch.arange(len(places))[:, None], places), projected)
        context = Context.empty(sizes, sizes.llm_layers, len(beginnings))
        _, context = read(stack, beginnings, batch.beginnings.lengths, context)
        y, _ = read(stack, self._embed(batch.rest), batch.rest.lengths, context.of(batch.parents))
        return self.llm.head(stack.norm(y[rows, at]))  # type: ignore[no-any-return]

    def _embed(self, asked: Asked) -> Tensor:
        """[R, T, hidden]; a picture's places hold anything."""
        x = F.embedding(asked.ids.clamp(min=0), self.llm.table)
        if asked.heard is None:
            return x
        places = (asked.ids == FROM_EMBEDS).nonzero(as_tuple=True)
        return torch.index_put(x, places, torch.matmul(asked.heard, self.llm.table))


def answer_places(batch: Questions) -> tuple[Tensor, Tensor, Tensor]:
    """The places of ``batch.rest`` after which comes a token of the answer, and those tokens: rows, positions and ids,
    each [N]."""
    index = torch.arange(batch.rest.ids.shape[1])
    answer = (index >= batch.answer_at[:, None]) & (index < batch.rest.lengths[:, None])
    rows, at = answer.nonzero(as_tuple=True)
    return rows, at - 1, batch.rest.ids[rows, at]
