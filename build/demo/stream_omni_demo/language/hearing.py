"""Training of the bottom stack: which word was said at each unit (CTC), and that text stands for itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni.networks.speech import SpeechBottomStep
from stream_omni_demo.language.reading import Context, read, within

_UNHEARD = 4  # units at the beginning of a sound, 0.16 s, in which no word has been heard
_TEXT_SHARE = 0.2  # of a text position's loss: learnt in a few steps, and not to take the gradient from the units


@dataclass(frozen=True)
class Heard:
    """A level of sequences: ``ids`` [R, T], of which ``lengths`` [R] count, each after sequence ``parents`` [R] of the
    level before. The units at [begin, end) of ``audio`` [R, 2] say ``labels`` [sum of label_counts], ``label_counts``
    [R] of each row; 0 where a row has no audio of its own."""

    ids: Tensor
    lengths: Tensor
    parents: Tensor
    audio: Tensor
    labels: Tensor
    label_counts: Tensor


class Hearing(nn.Module):
    """The served network, and its losses."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        bottom = make_network("speech_bottom_step", info)
        assert isinstance(bottom, SpeechBottomStep)
        self.bottom, self.info = bottom, info

    def forward(self, levels: list[Heard]) -> dict[str, Tensor]:
        """The mean loss of a label, and of a text position."""
        vocabulary = self.info.vocabulary
        context = Context.empty(self.info.llama, self.info.llama.bottom_layers)
        said, texts, labels, positions = [], [], 0, 0
        for level in levels:
            _, logits, context = hear(self.bottom, level.ids, level.lengths, context.of(level.parents))
            log_probabilities = torch.log_softmax(logits, -1)
            text = within(level.lengths, level.ids.shape[1]) & (level.ids < vocabulary.text_size)
            own = log_probabilities.gather(-1, level.ids.clamp(max=vocabulary.text_size - 1).unsqueeze(-1)).squeeze(-1)
            texts.append(-(own * text).sum())
            positions += int(text.sum())
            if len(level.labels):
                said.append(ctc(log_probabilities, level, vocabulary.blank))
                labels += len(level.labels)
        found = {"text": torch.stack(texts).sum() / max(1, positions) * _TEXT_SHARE}
        return {"said": torch.stack(said).sum() / labels, **found} if said else found


def hear(bottom: SpeechBottomStep, ids: Tensor, lengths: Tensor, context: Context) -> tuple[Tensor, Tensor, Context]:
    """``ids`` [R, T], of which ``lengths`` [R] count -> hidden states [R, T, hidden] and the logits of the CTC labels
    [R, T, text_size], both as served, and the context for whoever goes on."""
    y, context = read(bottom.stack, F.embedding(ids, bottom.table), lengths, context)
    hidden = bottom.stack.norm(y)
    return hidden, bottom.ctc_head(hidden), context


def ctc(log_probabilities: Tensor, level: Heard, blank: int) -> Tensor:
    """The sum over all rows with audio. ``log_probabilities`` [R, T, text_size].

    No word may be said at the first units. Where it may, the network soon guesses the first word there, before it has
    heard anything, and never finds out that waiting pays: all of 40 held-out questions after 790 steps.
    """
    rows = level.label_counts.nonzero().squeeze(1)
    begins, ends = level.audio[rows].unbind(1)
    units = ends - begins
    at = (begins[:, None] + torch.arange(int(units.max()))).clamp(max=log_probabilities.shape[1] - 1)
    spans = log_probabilities[rows[:, None], at].transpose(0, 1)  # [units, rows, text_size]
    counts = level.label_counts[rows]
    # an utterance with fewer units than labels cannot be right: it counts nothing instead of infinity
    heard = F.ctc_loss(
        spans[_UNHEARD:], level.labels, units - _UNHEARD, counts, blank, reduction="sum", zero_infinity=True
    )
    return heard - spans[:_UNHEARD, :, blank].sum()
