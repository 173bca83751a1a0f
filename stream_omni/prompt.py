"""The prompt of a turn: the checkpoint's chat template, pictures and speech units; spans are known by construction."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from stream_omni.model_info import ModelInfo
from stream_omni.request_error import RequestError
from stream_omni.tokenizer import Tokenizer

IMAGE_ID = -200  # stands in the ids for a picture's features


@dataclass(frozen=True)
class Message:
    """An earlier turn. ``role``: "user" or "assistant"."""

    role: str
    text: str


@dataclass(frozen=True)
class Question:
    """What a turn asks: exactly one of ``text`` and ``units`` (speech, 25 a second), after ``pictures`` pictures.

    ``history`` is oldest first; ``system`` None means the checkpoint's own prompt.
    """

    text: str | None = None
    units: tuple[int, ...] | None = None
    pictures: int = 0
    history: tuple[Message, ...] = ()
    system: str | None = None


@dataclass(frozen=True, eq=False)
class Prompt:
    """``ids`` [L] int64 with IMAGE_ID for each picture, at the indices ``image_at``. ``audio_span`` is [begin, end) of
    the speech units in ``spoken_ids``; None for a text question. The first ``shared_tokens`` are those of every
    prompt with the same system prompt: template and system prompt, up to the first word, unit or picture."""

    ids: NDArray[np.int64]
    audio_span: tuple[int, int] | None
    image_at: tuple[int, ...]
    shared_tokens: int = 0

    @property
    def spoken_ids(self) -> NDArray[np.int64]:
        """The ids without pictures: what the speech stacks see."""
        spoken: NDArray[np.int64] = self.ids[self.ids != IMAGE_ID]
        return spoken


def build_prompt(tokenizer: Tokenizer, info: ModelInfo, question: Question) -> Prompt:
    """Ids as the reference makes them: each picture is its placeholder and a line end before the words; the tokenizer's
    own BOS stands before the one that the template writes, so a Llama 3 prompt begins with two.

    Raises RequestError for a question that is neither or both, for a unit outside the vocabulary, and for a template
    that does not render pictures and speech exactly once.
    """
    if (question.text is None) == (question.units is None):
        raise RequestError("a question is either text or speech units, and this one is both or neither")
    system = info.system_prompt if question.system is None else question.system
    mark = _unused_mark([system, question.text or "", *(message.text for message in question.history)])
    words = mark if question.text is None else question.text
    messages = [
        {"role": "system", "content": system},
        *({"role": message.role, "content": message.text} for message in question.history),
        {"role": "user", "content": (mark + "\n") * question.pictures + words},
    ]
    pieces = tokenizer.chat_template.render(messages).split(mark)
    if len(pieces) != 1 + question.pictures + (question.text is None):
        raise RequestError("the checkpoint's chat template does not render the user's message exactly once")
    prompt = _join_pieces(tokenizer, info, pieces, question)
    return dataclasses.replace(prompt, shared_tokens=_count_shared(tokenizer, prompt.ids, system))


def speech_prefill_ids(tokenizer: Tokenizer, info: ModelInfo) -> NDArray[np.int64]:
    """[L] ids of the prompt that the speech stacks get in text-to-speech, whatever was asked: the checkpoint's own
    system prompt and an empty question."""
    return build_prompt(tokenizer, info, Question(text=" ")).ids


def _join_pieces(tokenizer: Tokenizer, info: ModelInfo, pieces: list[str], question: Question) -> Prompt:
    """Between the rendered pieces stand the pictures, then the speech units. Each piece is encoded by itself, which
    changes nothing: an added token, such as a unit's, separates its neighbours in any case."""
    ids = [*tokenizer.leading_ids, *tokenizer.encode(pieces[0])]
    image_at, audio_span = [], None
    for piece in pieces[1 : 1 + question.pictures]:
        image_at.append(len(ids))
        ids += [IMAGE_ID, *tokenizer.encode(piece)]
    if question.units is not None:
        begin = len(ids) - len(image_at)
        audio_span = (begin, begin + len(question.units))
        ids += [*_unit_ids(info, question.units), *tokenizer.encode(pieces[-1])]
    return Prompt(np.array(ids, np.int64), audio_span, tuple(image_at))


def _count_shared(tokenizer: Tokenizer, ids: NDArray[np.int64], system: str) -> int:
    """How many of ``ids`` stand before what differs from question to question."""
    mark = _unused_mark([system])
    messages = [{"role": "system", "content": system}, {"role": "user", "content": mark}]
    before, *_ = tokenizer.chat_template.render(messages).split(mark)
    frame = np.array([*tokenizer.leading_ids, *tokenizer.encode(before)], np.int64)[: len(ids)]
    differing = np.flatnonzero(frame != ids[: len(frame)])  # a first word may melt into what stands before it
    return int(differing[0]) if len(differing) else len(frame)


def _unit_ids(info: ModelInfo, units: Sequence[int]) -> list[int]:
    vocabulary = info.vocabulary
    if any(not 0 <= unit < vocabulary.units for unit in units):
        raise RequestError(f"a speech unit is outside 0..{vocabulary.units - 1}")
    return [vocabulary.unit_offset + unit for unit in units]


def _unused_mark(texts: list[str]) -> str:
    """Holds the place of what is not text while the template is rendered; survives trimming. Nobody can foresee it: of
    marks in a known order a client could send a hundred thousand, to be searched for one by one."""
    marks = (f"<part-{secrets.token_hex(8)}>" for _ in count())
    return next(mark for mark in marks if not any(mark in text for text in texts))
