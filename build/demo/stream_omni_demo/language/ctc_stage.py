"""The stage "ctc": the bottom stack learns to hear."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from stream_omni_demo.language.conversing import Conversation
from stream_omni_demo.language.hearing import Hearing
from stream_omni_demo.language.hearing_batches import HearingBatches, HearingSizes
from stream_omni_demo.language.judging import judge_counts, judge_hearing
from stream_omni_demo.language.look_back import begin_hearing
from stream_omni_demo.language.recombining import Recombination
from stream_omni_demo.language.school import School, open_school
from stream_omni_demo.language.served import Trained
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.plan import Plan
from stream_omni_demo.speech.tokenizer_stage import open_codebook
from stream_omni_demo.trainee import Tensors

NAME = "ctc"
_LEARNING_RATE = 2e-3
_LARGEST_WER = {"wer": 0.1}  # `listening` goes on from here
_LEAST_COUNTED = 0.9  # of answers, whose every word must move the text on


def make(workshop: Workshop) -> Measured:
    return train_hearing(workshop, open_school(workshop), open_codebook(workshop))


def train_hearing(workshop: Workshop, school: School, means: Tensor) -> Measured:
    """``means`` [units, width]: what the units sound like."""
    plan = workshop.plan
    tensors = Tensors.random(school.info, "model", plan.seed)
    begin_hearing(school.info, tensors, means, plan.seed)
    return hear_spoken(NAME, workshop, school, tensors, plan.ctc_steps, _LEARNING_RATE)


def hear_spoken(
    name: str,
    workshop: Workshop,
    school: School,
    tensors: Tensors,
    steps: int,
    learning_rate: float,
    recombination: Recombination | None = None,
) -> Measured:
    """Train what hears among ``tensors``, leave it as what the stage ``name`` has made, and judge it."""
    plan = workshop.plan
    hearing = Hearing(school.info)
    sizes = HearingSizes(plan.ctc_questions, plan.ctc_answered, plan.ctc_answers_each, plan.ctc_answers_alone)
    batches = HearingBatches(
        school.info, school.tokenizer, school.questions, school.answers, sizes, plan.seed, recombination
    )
    train(
        name,
        tensors.used_by(hearing),
        lambda step: tensors.run(hearing, batches.at(step)),
        Recipe(steps, learning_rate),
        workshop.state(name),
        workshop.say,
    )
    tensors.save(workshop.trained(name), hearing)
    return _judge(school, tensors, plan)


def _judge(school: School, tensors: Tensors, plan: Plan) -> Measured:
    conversation = Conversation(Trained(school.info, tensors), school.info, school.tokenizer)
    most = plan.judged_utterances
    return {
        "wer": judge_hearing(conversation, school.held_out_questions[:most]),
        "wer_in_noise": judge_hearing(conversation, school.held_out_questions[:most], np.random.default_rng(plan.seed)),
        "wer_of_strangers": judge_hearing(conversation, school.strangers[:most]),
        "answers_counted": judge_counts(conversation, school.info, school.tokenizer, school.held_out_answers[:most]),
    }


def gate(measured: Measured) -> str:
    return faults(measured, _LARGEST_WER)


def faults(measured: Measured, largest_wer: Mapping[str, float]) -> str:
    """``largest_wer`` by its name among what was ``measured``."""
    found = [
        f"{measured[name]:.1%} of the words of transcripts are wrong ({name}), at most {largest:.0%} would do"
        for name, largest in largest_wer.items()
        if measured[name] > largest
    ]
    if measured["answers_counted"] < _LEAST_COUNTED:
        found.append(
            f"the words of {measured['answers_counted']:.1%} of the answers are counted, "
            f"at least {_LEAST_COUNTED:.0%} must be"
        )
    return "; ".join(found)


STAGE = Stage(
    NAME,
    "the bottom stack learns to hear",
    make,
    gate,
    needs=("layout", "speech_tokenizer", "units"),
    amounts=(
        "ctc_steps",
        "ctc_questions",
        "ctc_answered",
        "ctc_answers_each",
        "ctc_answers_alone",
        "judged_utterances",
    ),
)
