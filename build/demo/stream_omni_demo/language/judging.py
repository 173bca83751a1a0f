"""How good the stacks are, on what they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stream_omni.model_info import ModelInfo
from stream_omni.prompt import Question
from stream_omni.tokenizer import Tokenizer
from stream_omni_demo.judge import word_error_rate
from stream_omni_demo.language.conversing import Conversation, Speech, Turn
from stream_omni_demo.language.utterances import Units, Utterance
from stream_omni_demo.language.windows import counted
from stream_omni_demo.world.drawing import draw
from stream_omni_demo.world.sampling import sample_exchange, turn_of
from stream_omni_demo.world.typed import as_typed

_SHORTEST, _LONGEST = 0.6, 1.6  # of what was said: speech beyond has lost its thread


def judge_hearing(
    conversation: Conversation, utterances: Sequence[Utterance], generator: np.random.Generator | None = None
) -> float:
    """The word error rate of the transcripts of spoken questions, as they were recorded; with a ``generator`` in one of
    their noises and rooms."""
    units = [u.recorded if generator is None else u.disturbed(generator) for u in utterances]
    heard = conversation.heard([Question(units=tuple(each.tolist())) for each in units])
    return word_error_rate([utterance.text for utterance in utterances], heard)


def judge_counts(
    conversation: Conversation, info: ModelInfo, tokenizer: Tokenizer, answers: Sequence[Utterance]
) -> float:
    """The share of spoken answers whose words are counted once each, in order, by the generation loop's rule."""
    right = 0
    for answer in answers:
        labels = np.array(conversation.labels_after_prefill(answer.renderings[0] + info.vocabulary.unit_offset))
        right += labels[counted(labels, info.vocabulary.blank)].tolist() == tokenizer.encode(answer.text)
    return right / len(answers)


def judge_typed_answers(conversation: Conversation, count: int, generator: np.random.Generator) -> dict[str, float]:
    """The share of right answers to held-out questions about held-out scenes, in all and by kind."""
    turns, exchanges = [], []
    for _ in range(count):
        scene, exchange = sample_exchange(generator, "held_out")
        question = Question(text=as_typed(exchange.question, generator), pictures=int(scene is not None))
        turns.append(Turn(question, draw(scene, generator) if scene else None))
        exchanges.append(exchange)
    right = [e.is_right(answer) for e, answer in zip(exchanges, conversation.answers(turns), strict=True)]
    kinds = sorted({exchange.kind for exchange in exchanges})
    by_kind = {kind: [r for r, e in zip(right, exchanges, strict=True) if e.kind == kind] for kind in kinds}
    return {"right": float(np.mean(right))} | {kind: float(np.mean(found)) for kind, found in by_kind.items()}


def judge_spoken_answers(
    conversation: Conversation, utterances: Sequence[Utterance], generator: np.random.Generator
) -> float:
    """The share of right answers to utterances that were held out, about held-out scenes."""
    turns, exchanges = [], []
    for utterance in utterances:
        scene, exchange = turn_of(utterance.text, generator, "held_out")
        question = asked(utterance, generator, pictures=int(scene is not None))
        turns.append(Turn(question, draw(scene, generator) if scene else None))
        exchanges.append(exchange)
    answers = conversation.answers(turns)
    return float(np.mean([e.is_right(answer) for e, answer in zip(exchanges, answers, strict=True)]))


def judge_speech(
    conversation: Conversation, answers: Sequence[Utterance], question: Question | None = None
) -> Mapping[str, float]:
    """Of the answers' texts, said by the loop: how many end by themselves at about the length of what was said, and
    the word error rate of what the bottom stack hears in them."""
    spoken = conversation.speak([answer.text for answer in answers], question)
    return {
        "ended": float(
            np.mean([_ends_well(said, answer.renderings[0]) for said, answer in zip(spoken, answers, strict=True)])
        ),
        "wer": word_error_rate([answer.text for answer in answers], [conversation.said(said) for said in spoken]),
    }


def _ends_well(speech: Speech, truth: Units) -> bool:
    return speech.ended and _SHORTEST <= (len(speech.ids) - 1) / len(truth) <= _LONGEST


def asked(utterance: Utterance, generator: np.random.Generator, pictures: int = 0) -> Question:
    """The question that is spoken."""
    return Question(units=tuple(utterance.units(generator).tolist()), pictures=pictures)
