"""The stage "reading": the language model learns to answer what is typed, and what is as if it were spoken.

It needs no speech, so it can be trained while the speech tokenizer is.
"""

from __future__ import annotations

import numpy as np

from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import Tokenizer
from stream_omni_demo.checkpoint.folders import demo_info, layout_of
from stream_omni_demo.language import seeing_stage
from stream_omni_demo.language.answering import Answering
from stream_omni_demo.language.answering_batches import AnsweringBatches, AnsweringSizes
from stream_omni_demo.language.conversing import Conversation
from stream_omni_demo.language.imagined import Imagination
from stream_omni_demo.language.judging import judge_typed_answers
from stream_omni_demo.language.likeness import KEPT, begin_alike
from stream_omni_demo.language.served import Trained
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.trainee import Tensors

NAME = "reading"
_LEARNING_RATE = 5e-4
_KEPT = 0.2  # of the blanks of imagined speech: most of what it teaches, in a fraction of its time
_LEAST_RIGHT = 0.8  # of the answers: practice goes on from here


def make(workshop: Workshop) -> Measured:
    return train_reading(workshop, demo_info(workshop), Tokenizer(layout_of(workshop).language))


def train_reading(workshop: Workshop, info: ModelInfo, tokenizer: Tokenizer) -> Measured:
    plan = workshop.plan
    seeing = Tensors.load(workshop.trained(seeing_stage.NAME))
    tensors = Tensors.random(info, "model", plan.seed).with_those_of(seeing)
    begin_alike(info, tensors, plan.seed)
    batches = AnsweringBatches(info, tokenizer, Imagination(info.vocabulary.blank), plan.seed)
    return read_typed(NAME, workshop, tensors, batches, plan.reading_steps)


def read_typed(
    name: str, workshop: Workshop, tensors: Tensors, batches: AnsweringBatches, steps: int, rounds: int = 1
) -> Measured:
    """Train what answers among ``tensors``, leave it as what the stage ``name`` has made, and judge it."""
    plan, info, tokenizer = workshop.plan, batches.info, batches.tokenizer
    answering = Answering(info)
    questions = plan.reading_questions
    few = -(-questions // 5)  # what is not about a picture is learnt soon, and the next stage has more that is spoken
    sizes = AnsweringSizes(plan.reading_pictures, questions, few, questions // 2, few, kept=_KEPT)
    train(
        name,
        tensors.used_by(answering.llm, kept=KEPT),
        lambda step: {"answers": tensors.run(answering, batches.of(step, sizes))},
        Recipe(steps, _LEARNING_RATE, rounds=rounds),
        workshop.state(name),
        workshop.say,
    )
    tensors.save(workshop.trained(name), answering)
    conversation = Conversation(Trained(info, tensors), info, tokenizer)
    return judge_typed_answers(conversation, plan.judged_utterances, np.random.default_rng(plan.seed))


def gate(measured: Measured) -> str:
    return fault(measured, _LEAST_RIGHT)


def fault(measured: Measured, least_right: float) -> str:
    if measured["right"] >= least_right:
        return ""
    return f"{measured['right']:.1%} of the answers are right, at least {least_right:.0%} must be"


STAGE = Stage(
    NAME,
    "the language model learns to answer what is typed",
    make,
    gate,
    needs=("layout", "seeing"),
    amounts=("reading_steps", "reading_pictures", "reading_questions", "judged_utterances"),
)
