"""The stage "practice": the language model answers more of what it finds hard.

Things told apart by two words, places and comparisons are learnt last, and of any scene few comparisons can be asked:
after `reading`, 96 % of held-out questions for a colour were answered rightly, 79 % of those where something is, and
20 % of those which of two things is bigger.
"""

from __future__ import annotations

from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import Tokenizer
from stream_omni_demo.checkpoint.folders import demo_info, layout_of
from stream_omni_demo.language import reading_stage
from stream_omni_demo.language.answering_batches import AnsweringBatches
from stream_omni_demo.language.imagined import Imagination
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.world.proposing import PRACTISED_SHARES

NAME = "practice"
_ROUNDS = 2
_LEAST_RIGHT = 0.9  # of the answers: the next stage goes on from here


def make(workshop: Workshop) -> Measured:
    return train_practice(workshop, demo_info(workshop), Tokenizer(layout_of(workshop).language))


def train_practice(workshop: Workshop, info: ModelInfo, tokenizer: Tokenizer) -> Measured:
    plan = workshop.plan
    tensors = Tensors.load(workshop.trained(reading_stage.NAME))
    batches = AnsweringBatches(
        info, tokenizer, Imagination(info.vocabulary.blank), plan.seed + 1, practised=PRACTISED_SHARES
    )
    return reading_stage.read_typed(NAME, workshop, tensors, batches, plan.practice_steps, _ROUNDS)


def gate(measured: Measured) -> str:
    return reading_stage.fault(measured, _LEAST_RIGHT)


STAGE = Stage(
    NAME,
    "the language model answers more of what it finds hard",
    make,
    gate,
    needs=("reading",),
    amounts=("practice_steps", "reading_pictures", "reading_questions", "judged_utterances"),
)
