"""What the language stages learn with: the checkpoint's description, and the corpus as units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import Tokenizer
from stream_omni_demo.checkpoint.folders import demo_info, layout_of
from stream_omni_demo.language.utterances import Units, Utterance
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.speech.coded import Coded
from stream_omni_demo.speech.units_stage import open_units
from stream_omni_demo.voices.corpus import Split

_REST_UNITS = 4  # 0.16 s


@dataclass(frozen=True)
class School:
    """``held_out`` utterances are of voices that are trained on; ``strangers`` are all of a voice that is not."""

    info: ModelInfo
    tokenizer: Tokenizer
    questions: Sequence[Utterance]
    answers: Sequence[Utterance]
    held_out_questions: Sequence[Utterance]
    held_out_answers: Sequence[Utterance]
    strangers: Sequence[Utterance]


def open_school(workshop: Workshop) -> School:
    """From what the stages "layout", "corpus" and "units" left."""
    coded = open_units(workshop)
    answers = [each for each in coded if each.utterance.kind == "answer"]
    rest = _silence([each.clean for each in answers])

    def questions(split: Split) -> list[Utterance]:
        return [_heard(c) for c in coded if c.utterance.kind == "question" and c.utterance.split == split]

    def said(split: Split) -> list[Utterance]:
        return [_said(c, rest) for c in answers if c.utterance.split == split]

    return School(
        info=demo_info(workshop),
        tokenizer=Tokenizer(layout_of(workshop).language),
        questions=questions("train"),
        answers=said("train"),
        held_out_questions=questions("held_out_sentence"),
        held_out_answers=said("held_out_sentence"),
        strangers=questions("held_out_voice"),
    )


def _heard(coded: Coded) -> Utterance:
    return Utterance(coded.utterance.text, coded.utterance.voice, (*coded.heard, coded.clean))


def _said(coded: Coded, rest: Units) -> Utterance:
    return Utterance(coded.utterance.text, coded.utterance.voice, (np.concatenate([coded.clean, rest]),))


def _silence(answers: Sequence[Units]) -> Units:
    """What an answer ends with, so that its last word and the full stop are heard before it is over: recordings are
    cut where the sound ends."""
    last = Counter(int(units[-1]) for units in answers)
    return np.full(_REST_UNITS, last.most_common(1)[0][0] if last else 0)
