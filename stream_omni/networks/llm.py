"""The language model: prompt embeddings or text ids in, the next text token's logits out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo
from stream_omni.networks.linear import Linear
from stream_omni.networks.llama import Stack, last_of
from stream_omni.networks.screened_head import ScreenedHead
from stream_omni.networks.weights import Network
from stream_omni.weights import Weight, weight


class Reading(Network):
    """What both graphs have in common: all but the head."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(info.vocabulary.text_size, info.llama.hidden))
        self.stack = Stack(info.llama, info.llama.llm_layers)

    def read(
        self, ids: Tensor, embeds: Tensor, positions: Tensor, rows: Tensor, caches: tuple[Tensor, ...]
    ) -> tuple[Tensor, list[Tensor]]:
        """``ids`` [B, T], where -1 takes the row of ``embeds`` [B, T, hidden] -> for each of ``rows`` [R] the normed
        hidden state [R, hidden] of its last position; the caches."""
        looked_up = nn.functional.embedding(ids.clamp(min=0), self.table)
        x, updated = self.stack(torch.where(ids.unsqueeze(-1) < 0, embeds, looked_up), positions, caches)
        return self.stack.norm(last_of(x, rows)), updated

    def weights(self) -> dict[str, Weight]:
        return {
            "table": weight("model.embed_tokens.weight", *self.table.shape),
            **self.stack.weights("stack", "model.layers", "model.norm"),
        }


class Llm(Reading):
    """Graph ``llm``."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self.head = Linear(info.llama.hidden, info.vocabulary.text_size)

    def forward(
        self, ids: Tensor, embeds: Tensor, positions: Tensor, rows: Tensor, *caches: Tensor
    ) -> tuple[Tensor, ...]:
        """As :meth:`read`, with the logits [R, text_size] before the caches."""
        last, updated = self.read(ids, embeds, positions, rows, caches)
        return last, self.head(last), *updated

    def weights(self) -> dict[str, Weight]:
        return {**super().weights(), **self.head.weights("head", ("lm_head", self.table.shape[0]))}


class GreedyLlm(Reading):
    """Graph ``llm_greedy``: the same, with the two best ids of a screened head instead of all logits."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self.head = ScreenedHead(info.llama.hidden, info.vocabulary.text_size)

    def forward(
        self, ids: Tensor, embeds: Tensor, positions: Tensor, rows: Tensor, *caches: Tensor
    ) -> tuple[Tensor, ...]:
        """As :meth:`read`, with the two best ids and their logits [R, 2], and whether they are certain [R], before the
        caches."""
        last, updated = self.read(ids, embeds, positions, rows, caches)
        return last, *self.head(last), *updated

    def weights(self) -> dict[str, Weight]:
        return {**super().weights(), **self.head.weights("head", "lm_head")}
