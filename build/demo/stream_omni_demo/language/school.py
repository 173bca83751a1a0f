"""What the language stages learn with: the checkpoint's description, and the corpus as units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import Tokenizer
from stream_omni_demo.language.utterances import Utterance
from stream_omni_demo.pipeline import Workshop


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
    raise NotImplementedError
