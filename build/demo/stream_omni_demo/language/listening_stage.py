"""The stage "listening": the bottom stack hears what it cannot know by heart."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from stream_omni_demo.language import ctc_stage
from stream_omni_demo.language.conversing import Conversation
from stream_omni_demo.language.recombining import Recombination, align
from stream_omni_demo.language.school import School, open_school
from stream_omni_demo.language.served import Trained
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.speech.tokenizer_stage import open_codebook
from stream_omni_demo.trainee import Tensors

NAME = "listening"
_LEARNING_RATE = 1e-3  # it goes on from what was learnt with more
_LARGEST_WER = {"wer": 0.05, "wer_in_noise": 0.1, "wer_of_strangers": 0.15}


def make(workshop: Workshop) -> Measured:
    return train_listening(workshop, open_school(workshop), open_codebook(workshop))


def train_listening(workshop: Workshop, school: School, means: Tensor) -> Measured:
    """``means`` [units, width]: what the units sound like."""
    plan, info = workshop.plan, school.info
    heard = Tensors.load(workshop.trained(ctc_stage.NAME))
    tensors = Tensors.random(info, "model", plan.seed).with_those_of(heard)
    conversation = Conversation(Trained(info, tensors), info, school.tokenizer)
    generator = np.random.default_rng(plan.seed)
    chosen = generator.permutation(len(school.questions))[: plan.listening_questions]
    questions = [school.questions[i] for i in chosen]
    aligned = align(conversation, school.tokenizer, info.vocabulary.blank, questions, generator)
    workshop.say(f"{NAME}: {sum(map(len, aligned.values()))} of {len(questions)} questions to take words from")
    recombination = Recombination(aligned, means)
    return ctc_stage.hear_spoken(NAME, workshop, school, tensors, plan.listening_steps, _LEARNING_RATE, recombination)


def gate(measured: Measured) -> str:
    return ctc_stage.faults(measured, _LARGEST_WER)


STAGE = Stage(
    NAME,
    "the bottom stack hears what it cannot know by heart",
    make,
    gate,
    needs=("speech_tokenizer", "units", "ctc"),
    amounts=(
        "listening_steps",
        "listening_questions",
        "ctc_questions",
        "ctc_answered",
        "ctc_answers_each",
        "ctc_answers_alone",
        "judged_utterances",
    ),
)
