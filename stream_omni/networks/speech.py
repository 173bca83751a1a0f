"""The speech stacks: the bottom one hears (transcript labels, soft text embeddings), the top one speaks (units)."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stream_omni.graphs import WINDOW_TOKENS
from stream_omni.model_info import LlamaSizes, ModelInfo
from stream_omni.networks.linear import Linear
from stream_omni.networks.llama import MASKED, Block, Places, Rotation, Stack, last_of, rotation
from stream_omni.networks.operators import constant, reshape, scatter
from stream_omni.networks.screened_head import ScreenedHead
from stream_omni.networks.weights import Network
from stream_omni.weights import Weight, chosen, weight


class Hearing(Network):
    """What all passes of the bottom stack have in common: all but what becomes of its output."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(info.vocabulary.size, info.llama.hidden))
        self.stack = Stack(info.llama, info.llama.bottom_layers)

    def hear(self, ids: Tensor, positions: Tensor, caches: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """``ids`` [B, T] -> normed [B, T, hidden]; the caches."""
        x, updated = self.stack(nn.functional.embedding(ids, self.table), positions, caches)
        return self.stack.norm(x), updated

    def weights(self) -> dict[str, Weight]:
        return {
            "table": weight("model.audio_embed_tokens.weight", *self.table.shape),
            **self.stack.weights("stack", "model.bottom_audio_layers", "model.audio_norm"),
        }


class SpeechBottomStep(Hearing):
    """Graph ``speech_bottom_step``: a generated unit's pass."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self.ctc_head = Linear(info.llama.hidden, info.vocabulary.text_size)

    def forward(self, ids: Tensor, positions: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """``ids`` [B, T] -> hidden [B, T, hidden]; the two best CTC labels and their logits [B, T, 2]; the caches."""
        hidden, updated = self.hear(ids, positions, caches)
        return hidden, *_two_best(self.ctc_head(hidden)), *updated

    def weights(self) -> dict[str, Weight]:
        head = self.ctc_head.weights("ctc_head", ("audio_to_text_proj", self.ctc_head.weight.shape[1]))
        return {**super().weights(), **head}


class ScreenedSpeechBottomStep(Hearing):
    """Graph ``speech_bottom_step_screened``: the same pass, whose CTC head is screened."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self.ctc_head = ScreenedHead(info.llama.hidden, info.vocabulary.text_size)

    def forward(self, ids: Tensor, positions: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """As the step, with whether the labels are certain [B, T] before the caches."""
        hidden, updated = self.hear(ids, positions, caches)
        return hidden, *self.ctc_head(hidden), *updated

    def weights(self) -> dict[str, Weight]:
        return {**super().weights(), **self.ctc_head.weights("ctc_head", "audio_to_text_proj")}


class SpeechBottom(SpeechBottomStep):
    """Graph ``speech_bottom``: a prompt's pass, which also gives the soft embeddings that enter the LLM: each
    position's mean text embedding under its CTC distribution, neither collapsed nor freed of blanks."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self.text_table = nn.Parameter(torch.empty(info.vocabulary.text_size, info.llama.hidden))

    def forward(self, ids: Tensor, positions: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """As the step, with the soft embeddings [B, T, hidden] before the caches."""
        hidden, updated = self.hear(ids, positions, caches)
        logits = self.ctc_head(hidden)
        soft = torch.matmul(torch.softmax(logits, -1), self.text_table)
        return hidden, *_two_best(logits), soft, *updated

    def weights(self) -> dict[str, Weight]:
        text = weight("model.embed_tokens.weight", *self.text_table.shape)
        return {**super().weights(), "text_table": text}


def _two_best(logits: Tensor) -> tuple[Tensor, Tensor]:
    values, ids = torch.topk(logits, 2, -1)
    return ids, values


class Text(NamedTuple):
    """The recent text tokens that each chosen row hears while it picks its next unit."""

    rows: Tensor  # [R]
    write: Tensor  # [R, 2]: (row, last position)
    window: Tensor  # [R, WINDOW_TOKENS, hidden]
    query_rotation: Rotation  # by the row's last position
    key_rotation: Rotation  # by the token's own index among the speakable ones
    mask: Tensor  # [R, 1, 1, WINDOW_TOKENS]


class CrossAttention(nn.Module):
    """From a row's last position to its text window; every head has keys of its own, and nothing is cached."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        self.heads, self.head_size = sizes.heads, sizes.head_size
        width = sizes.heads * sizes.head_size
        self.query = Linear(sizes.hidden, width)
        self.keys_values = Linear(sizes.hidden, 2 * width)
        self.out = Linear(width, sizes.hidden)

    def forward(self, last: Tensor, text: Text) -> Tensor:
        """``last`` [R, hidden] -> what to add to it."""
        heads, size = self.heads, self.head_size
        q = text.query_rotation.of(reshape(self.query(last), -1, 1, heads, size))
        k, v = torch.split(self.keys_values(text.window), [heads * size] * 2, -1)
        k = text.key_rotation.of(reshape(k, -1, WINDOW_TOKENS, heads, size))
        scores = torch.matmul(q.transpose(1, 2), k.permute(0, 2, 3, 1)) + text.mask  # [R, heads, 1, WINDOW_TOKENS]
        mixed = torch.matmul(torch.softmax(scores, -1), reshape(v, -1, WINDOW_TOKENS, heads, size).transpose(1, 2))
        return self.out(reshape(mixed, -1, heads * size))  # type: ignore[no-any-return]

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        width = self.heads * self.head_size
        return {
            **self.query.weights(f"{prefix}.query", (f"{source}.q_proj", width), first_scale=self.head_size**-0.5),
            **self.keys_values.weights(
                f"{prefix}.keys_values", (f"{source}.k_proj", width), (f"{source}.v_proj", width)
            ),
            **self.out.weights(f"{prefix}.out", (f"{source}.o_proj", self.out.weight.shape[1])),
        }


class SpeakingBlock(Block):
    """A block that hears the text between self-attention and MLP, without a norm of its own there."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__(sizes)
        self.hearing = CrossAttention(sizes)

    def forward(  # type: ignore[override]
        self, x: Tensor, at: Places, keys: Tensor, values: Tensor, text: Text
    ) -> tuple[Tensor, Tensor, Tensor]:
        attended, keys, values = self.attention(self.attention_norm(x), at, keys, values)
        x = x + attended
        last = last_of(x, text.rows)
        return self.feed_forward(scatter(x, text.write, last + self.hearing(last, text))), keys, values

    def weights(self, prefix: str, source: str) -> dict[str, Weight]:
        hearing = self.hearing.weights(f"{prefix}.hearing", f"{source}.audio_text_attn")
        return {**super().weights(prefix, source), **hearing}


class SpeechTop(Network):
    """Graph ``speech_top``."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        hidden = info.llama.hidden
        self.speech_ids = info.speech_ids
        self.text_table = nn.Parameter(torch.empty(info.vocabulary.size, hidden))
        self.stack = Stack(info.llama, info.llama.top_layers, SpeakingBlock)
        self.head = Linear(hidden, len(self.speech_ids))

    def forward(
        self,
        hidden: Tensor,
        positions: Tensor,
        rows: Tensor,
        window_ids: Tensor,
        window_positions: Tensor,
        window_length: Tensor,
        *caches: Tensor,
    ) -> tuple[Tensor, ...]:
        """The bottom stack's ``hidden`` [B, T, hidden] in; units' logits out.

        Each of ``rows`` [R] has a window [R, WINDOW_TOKENS] of text, of which the first ``window_length`` [R] tokens
        count. Returns the normed hidden state [R, hidden] and the logits [R, len(info.speech_ids)] of the rows' last
        positions, then the caches."""
        beyond = constant(torch.arange(WINDOW_TOKENS, device="cpu"), like=rows) >= window_length.unsqueeze(-1)
        text = Text(
            rows,
            torch.stack([rows, torch.zeros_like(rows) + (positions.shape[1] - 1)], -1),
            nn.functional.embedding(window_ids, self.text_table),
            rotation(last_of(positions, rows).unsqueeze(-1), self.stack.frequencies),
            rotation(window_positions, self.stack.frequencies),
            (beyond.to(torch.float32) * MASKED)[:, None, None],
        )
        x, updated = self.stack(hidden, positions, caches, text)
        last = self.stack.norm(last_of(x, rows))
        return last, self.head(last), *updated

    def weights(self) -> dict[str, Weight]:
        size = self.text_table.shape[0]
        head = self.head.weights("head", ("audio_lm_head", size))
        if len(self.speech_ids) < size:
            (whole,) = head.values()
            head = {"head.weight": dataclasses.replace(whole, combine=partial(chosen, tuple(self.speech_ids)))}
        return {
            "text_table": weight("text_to_audio_proj.weight", *self.text_table.shape),
            **self.stack.weights("stack", "model.top_audio_layers", "model.top_audio_norm"),
            **head,
        }
