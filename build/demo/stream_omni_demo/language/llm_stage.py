"""The stage "llm": the language model learns to answer what is spoken, too."""

from __future__ import annotations

import numpy as np

from stream_omni.networks.speech import SpeechBottomStep
from stream_omni_demo.language import listening_stage, practice_stage
from stream_omni_demo.language.answering import Answering
from stream_omni_demo.language.answering_batches import AnsweringBatches, AnsweringSizes, Listener
from stream_omni_demo.language.conversing import Conversation
from stream_omni_demo.language.imagined import Imagination
from stream_omni_demo.language.judging import asked, judge_spoken_answers, judge_typed_answers
from stream_omni_demo.language.likeness import KEPT
from stream_omni_demo.language.school import School, open_school
from stream_omni_demo.language.served import Trained
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.plan import Plan
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.world.proposing import PRACTISED_SHARES

NAME = "llm"
_LEARNING_RATE = 5e-4
_ROUNDS = 4
_PACED_BY = 64  # utterances, whose labels show at what pace people speak
_LEAST_TYPED, _LEAST_SPOKEN = 0.95, 0.9  # of answers that are right


def make(workshop: Workshop) -> Measured:
    return train_answering(workshop, open_school(workshop))


def train_answering(workshop: Workshop, school: School) -> Measured:
    plan, info = workshop.plan, school.info
    hearing = Tensors.load(workshop.trained(listening_stage.NAME))
    tensors = Tensors.load(workshop.trained(practice_stage.NAME)).with_those_of(hearing)
    bottom = Trained(info, tensors).network("speech_bottom_step")
    assert isinstance(bottom, SpeechBottomStep)
    answering = Answering(info)
    batches = AnsweringBatches(
        info,
        school.tokenizer,
        _imagination(school, tensors, plan),
        plan.seed,
        Listener(info, bottom, school.questions),
        PRACTISED_SHARES,
    )
    sizes = AnsweringSizes(
        pictures=plan.llm_pictures,
        typed=plan.llm_questions,
        imagined=-(-plan.llm_questions // 2),
        typed_alone=plan.llm_alone,
        imagined_alone=plan.llm_alone,
        spoken=plan.llm_spoken,
    )
    train(
        NAME,
        tensors.used_by(answering.llm, kept=KEPT),
        lambda step: {"answers": tensors.run(answering, batches.of(step, sizes))},
        Recipe(plan.llm_steps, _LEARNING_RATE, rounds=_ROUNDS),
        workshop.state(NAME),
        workshop.say,
    )
    tensors.save(workshop.trained(NAME), answering)
    return _judge(school, tensors, plan)


def _imagination(school: School, tensors: Tensors, plan: Plan) -> Imagination:
    conversation = Conversation(Trained(school.info, tensors), school.info, school.tokenizer)
    generator = np.random.default_rng(plan.seed)
    chosen = generator.integers(len(school.questions), size=_PACED_BY)
    labels = [conversation.labels(asked(school.questions[i], generator)) for i in chosen]
    return Imagination.like(labels, school.info.vocabulary.blank)


def _judge(school: School, tensors: Tensors, plan: Plan) -> Measured:
    conversation = Conversation(Trained(school.info, tensors), school.info, school.tokenizer)
    generator, most = np.random.default_rng(plan.seed), plan.judged_utterances
    spoken = {"spoken": school.held_out_questions, "spoken_by_strangers": school.strangers}
    return {
        **{f"typed_{name}": share for name, share in judge_typed_answers(conversation, most, generator).items()},
        **{f"{name}_right": judge_spoken_answers(conversation, u[:most], generator) for name, u in spoken.items()},
    }


def gate(measured: Measured) -> str:
    return "; ".join(
        f"{measured[f'{name}_right']:.1%} of the {name} questions are answered rightly, at least {least:.0%} must be"
        for name, least in (("typed", _LEAST_TYPED), ("spoken", _LEAST_SPOKEN))
        if measured[f"{name}_right"] < least
    )


STAGE = Stage(
    NAME,
    "the language model learns to answer speech",
    make,
    gate,
    needs=("units", "listening", "practice"),
    amounts=("llm_steps", "llm_pictures", "llm_questions", "llm_alone", "llm_spoken", "judged_utterances"),
)
