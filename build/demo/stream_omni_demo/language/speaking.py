"""Training of the top stack: the next unit of known answers, all units of an answer at once.

The served network chooses one unit a call, and hears the text in each call's last position. Here every position from a
prompt's last one on is such a position; those before are an ordinary context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni.networks.heads import merge_heads, split_heads
from stream_omni.networks.llama import MASKED, Rotation, places, rotation
from stream_omni.networks.operators import reshape
from stream_omni.networks.speech import CrossAttention, SpeakingBlock, SpeechTop
from stream_omni_demo.language.reading import Context, within
from stream_omni_demo.language.windows import window_mask

_END_SHARE = 0.05  # of the end's loss, which has one position where the units have dozens


@dataclass(frozen=True)
class Prompts:
    """All of P prompts but the last position of each: the bottom stack's ``hidden`` [P, T, hidden], of which
    ``lengths`` [P] count."""

    hidden: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class Spoken:
    """Answers: ``hidden`` [R, T, hidden] of the bottom stack at a prompt's last position and at each unit, of which
    ``lengths`` [R] count, after the prompts ``parents`` [R]; ``counts`` [R, T] of labels before each choice; the
    speakable ``text`` [R, N] of which ``text_lengths`` [R] count; ``targets`` [R, T] are the units' ids and the end."""

    hidden: Tensor
    lengths: Tensor
    parents: Tensor
    counts: Tensor
    text: Tensor
    text_lengths: Tensor
    targets: Tensor


class Speaking(nn.Module):
    """The served network."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        top = make_network("speech_top", info)
        assert isinstance(top, SpeechTop)
        assert len(top.speech_ids) == info.vocabulary.size, "training needs the row of every id, by its number"
        self.top, self.info = top, info

    def forward(self, prompts: Prompts, spoken: Spoken) -> Tensor:
        """The logits of the id that is chosen at each position of ``spoken``: [R, T, vocabulary]."""
        context = Context.empty(self.info.llama, self.info.llama.top_layers, len(prompts.hidden))
        _, context = self._read(prompts.hidden, context, None)
        context = Context(context.caches, prompts.lengths).of(spoken.parents)
        mask = window_mask(spoken.counts, spoken.text_lengths, spoken.text.shape[1])
        text = F.embedding(spoken.text, self.top.text_table)
        y, _ = self._read(spoken.hidden, context, _Text(text, (~mask * MASKED)[:, None]))
        return self.top.head(self.top.stack.norm(y))  # type: ignore[no-any-return]

    def _read(self, x: Tensor, context: Context, text: _Text | None) -> tuple[Tensor, Context]:
        """As :func:`~stream_omni_demo.language.reading.read`, with ``text`` heard at every position or at none."""
        positions, caches = context.room(x.shape[1])
        stack, updated = self.top.stack, []
        at = places(positions, caches[0].shape[2], stack.frequencies, stack.kv_heads)
        for i, block in enumerate(stack.blocks):
            assert isinstance(block, SpeakingBlock)
            attended, keys, values = block.attention(block.attention_norm(x), at, caches[2 * i], caches[2 * i + 1])
            x = x + attended
            if text is not None:
                x = x + _hear(block.hearing, x, at.rotation, text, stack.frequencies)
            x = block.feed_forward(x)
            updated += [keys, values]
        return x, Context(updated, context.lengths)


def speaking_losses(logits: Tensor, spoken: Spoken, smoothing: float = 0.0) -> dict[str, Tensor]:
    """The mean loss of a unit, and of the end. ``smoothing``: the share of a target that is spread over all ids."""
    losses = F.cross_entropy(
        logits.flatten(0, 1), spoken.targets.flatten(), reduction="none", label_smoothing=smoothing
    ).view_as(spoken.targets)
    last = torch.arange(logits.shape[1]) == spoken.lengths[:, None] - 1
    units = within(spoken.lengths, logits.shape[1]) & ~last
    return {"units": (losses * units).sum() / units.sum(), "end": (losses * last).sum() / last.sum() * _END_SHARE}


def share_said(logits: Tensor, spoken: Spoken) -> float:
    """The share of the units, ends among them, that are chosen as they were said."""
    right = logits.argmax(-1) == spoken.targets
    return float(right[within(spoken.lengths, logits.shape[1])].float().mean())


class _Text(NamedTuple):
    """Rows of text [R, N, hidden], and what to add to the scores of each position's choice [R, 1, T, N]."""

    rows: Tensor
    mask: Tensor


def _hear(hearing: CrossAttention, x: Tensor, at: Rotation, text: _Text, frequencies: tuple[float, ...]) -> Tensor:
    """What to add to ``x`` [R, T, hidden]. A window's keys are those of its tokens in the whole text, which so are made
    once an answer instead of once a window."""
    heads, size = hearing.heads, hearing.head_size
    k, v = torch.split(hearing.keys_values(text.rows), [heads * size] * 2, -1)
    q = at.of(reshape(hearing.query(x), 0, 0, heads, -1)).transpose(1, 2)
    k = rotation(torch.arange(k.shape[1])[None], frequencies).of(reshape(k, 0, 0, heads, -1)).transpose(1, 2)
    scores = torch.softmax(torch.matmul(q, k.transpose(-1, -2)) + text.mask, -1)
    return hearing.out(merge_heads(torch.matmul(scores, split_heads(v, heads))))  # type: ignore[no-any-return]
