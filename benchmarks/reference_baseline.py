"""The reference's speech loop with the reference's costs: what the product's speed is compared with.

Written from docs/algorithm.md: a.3 to a.6 say what is computed, "Costs of the reference worth not paying" says what is
computed for nothing. Of those costs exactly these are here, since they lie between a question and its speech units:

* logits at ALL prompt positions, of ``lm_head`` and of ``audio_lm_head``, where only the last one's are read;
* ``softmax(ctc) @ embed_tokens`` for every generated unit, whose result is thrown away;
* a deep copy of the LLM's keys, values and hidden states for every text token; hidden states are always kept;
* text and speech by turns in one loop: an LLM step holds the speech step up; one turn at a time;
* the text window's keys and values made anew at each step; no prefix kept from turn to turn;
* a tokenizer call for every text token, and all of the text decoded again for every unit;
* unit logits of the whole vocabulary, where the checkpoint may only mean units and end ids (``info.only_units``: they
  are computed and not chosen from, so that the ids are those of a build that leaves them out).

Not here, as they come after the units (the voice) or are no computation: both passes of guidance one after the other,
speech only when all units are known, Hugging Face's own overhead in ``generate``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import linear

from benchmarks.reference_layers import Stack, TextWindow
from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import SPOKEN_CHARACTER
from stream_omni.weights import TensorSource

_LAG, _WINDOW = 3, 5

Decode = Callable[[Sequence[int]], str]


@dataclass
class _Turn:
    """State of algorithm.md a.5."""

    prompt: Tensor  # [T, hidden] of the LLM
    text_ids: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)  # the speakable ones
    held: list[Tensor] = field(default_factory=list)  # the last deep copy


class Reference:
    """``decode`` is the tokenizer's, special tokens included. One turn at a time; see :meth:`speak`."""

    def __init__(self, tensors: TensorSource, info: ModelInfo, decode: Decode) -> None:
        sizes = info.llama

        def get(name: str) -> Tensor:
            return torch.from_numpy(tensors.get(name))

        self._vocabulary, self._decode = info.vocabulary, decode
        bottom, top = "model.bottom_audio_layers", "model.top_audio_layers"
        self._bottom = Stack(tensors, sizes, bottom, sizes.bottom_layers, "model.audio_norm")
        self._llm = Stack(tensors, sizes, "model.layers", sizes.llm_layers, "model.norm")
        self._top = Stack(tensors, sizes, top, sizes.top_layers, "model.top_audio_norm")
        self._audio_table = get("model.audio_embed_tokens.weight")
        self._text_table = get("model.embed_tokens.weight")
        self._window_table = get("text_to_audio_proj.weight")
        self._ctc_head, self._text_head = get("audio_to_text_proj.weight"), get("lm_head.weight")
        self._unit_head = get("audio_lm_head.weight")
        self._choices = torch.tensor(info.speech_ids) if info.only_units else None
        self.text_ids: list[int] = []  # of the last turn

    @torch.inference_mode()
    def speak(
        self, prompt_ids: Sequence[int], pictures: Sequence[Tensor], image_at: Sequence[int], max_units: int
    ) -> Iterator[int]:
        """The ids that the speech loop makes of a spoken question, the end id included, as they are made.

        ``prompt_ids`` [L] without pictures; ``pictures`` [n, hidden] each, before the ``image_at``-th of those ids.
        """
        for stack in (self._bottom, self._llm, self._top):
            stack.begin()
        heard = self._bottom.run(self._audio_table[torch.tensor(list(prompt_ids))])[-1]
        soft = torch.softmax(linear(heard, self._ctc_head), -1) @ self._text_table
        turn = _Turn(_insert(soft, pictures, image_at))
        self.text_ids = turn.text_ids
        self._advance(turn)
        last_label, unit = self._vocabulary.blank, -1
        for made in range(max_units):
            if made:
                heard = self._bottom.run(self._audio_table[torch.tensor([unit])])[-1]
                ctc = linear(heard, self._ctc_head)
                label = int(ctc[-1].argmax())
                torch.softmax(ctc, -1) @ self._text_table
                if label not in (self._vocabulary.blank, last_label):
                    last_label = label
                    self._advance(turn)
            spoken = self._top.run(heard, self._window(turn))[-1]
            unit = self._choose(linear(spoken, self._unit_head)[-1])  # at step 0: logits of all prompt positions
            self._decode(turn.text_ids)
            yield unit
            if unit in self._vocabulary.eos:
                return

    def _advance(self, turn: _Turn) -> None:
        """Ask the LLM for as many tokens as it takes to have one more speakable one; first three."""
        goal = max(_LAG, len(turn.queued) + 1)
        while len(turn.queued) < goal:
            if turn.queued and turn.text_ids[-1] == self._vocabulary.eot:
                return
            x = self._text_table[turn.text_ids[-1:]] if turn.text_ids else turn.prompt
            states = self._llm.run(x)
            logits = linear(states[-1], self._text_head)  # the first time: of all prompt positions
            turn.held = [state.clone() for state in states]
            turn.held += [tensor for cache in self._llm.caches for tensor in cache.copy()]
            turn.text_ids.append(int(logits[-1].argmax()))
            if SPOKEN_CHARACTER.search(self._decode(turn.text_ids[-1:])):
                turn.queued.append(turn.text_ids[-1])

    def _choose(self, logits: Tensor) -> int:
        return int(logits.argmax() if self._choices is None else self._choices[logits[self._choices].argmax()])

    def _window(self, turn: _Turn) -> TextWindow:
        begin = max(0, len(turn.queued) - _WINDOW)
        return TextWindow(self._window_table[turn.queued[begin:]], torch.arange(begin, len(turn.queued)))


def _insert(rows: Tensor, pictures: Sequence[Tensor], image_at: Sequence[int]) -> Tensor:
    pieces, begin = [], 0
    for picture, at in zip(pictures, image_at, strict=True):
        pieces += [rows[begin:at], picture]
        begin = at
    return torch.cat([*pieces, rows[begin:]])
