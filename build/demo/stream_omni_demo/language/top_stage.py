"""The stage "top": the top stack learns to speak."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from stream_omni.networks.speech import SpeechBottomStep
from stream_omni_demo.language import listening_stage
from stream_omni_demo.language.conversing import Conversation
from stream_omni_demo.language.judging import asked, judge_speech
from stream_omni_demo.language.school import School, open_school
from stream_omni_demo.language.served import Trained
from stream_omni_demo.language.speaking import Speaking, share_said, speaking_losses
from stream_omni_demo.language.speaking_batches import Disturbances, SpeakingBatches, SpeakingSizes
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.plan import Plan
from stream_omni_demo.trainee import Tensors

NAME = "top"
_LEARNING_RATE = 2e-3
_SMOOTHING = 0.05  # of the targets: a unit is often one of several that are as good
_JUDGED_BATCHES = 4
_LARGEST_WER = 0.12  # of what the bottom stack hears in generated speech
_LEAST_ENDED = 0.95  # of the answers


def make(workshop: Workshop) -> Measured:
    return train_speaking(workshop, open_school(workshop))


def train_speaking(workshop: Workshop, school: School) -> Measured:
    plan, info = workshop.plan, school.info
    hearing = Tensors.load(workshop.trained(listening_stage.NAME))
    tensors = Tensors.random(info, "model", plan.seed).with_those_of(hearing)
    bottom = Trained(info, tensors).network("speech_bottom_step")
    assert isinstance(bottom, SpeechBottomStep)
    speaking = Speaking(info)
    sizes = SpeakingSizes(plan.top_answers_alone, plan.top_prompts, plan.top_answers_each)
    batches = SpeakingBatches(
        info, school.tokenizer, bottom, school.questions, school.answers, sizes, plan.seed, Disturbances()
    )

    def losses(step: int) -> Mapping[str, Tensor]:
        prompts, spoken = batches.at(step)
        return speaking_losses(tensors.run(speaking, prompts, spoken), spoken, _SMOOTHING)

    train(
        NAME,
        tensors.used_by(speaking),
        losses,
        Recipe(plan.top_steps, _LEARNING_RATE),
        workshop.state(NAME),
        workshop.say,
    )
    tensors.save(workshop.trained(NAME), speaking)
    held_out = SpeakingBatches(
        info, school.tokenizer, bottom, school.held_out_questions, school.held_out_answers, sizes, plan.seed, None
    )
    return {**_judge_units(tensors, speaking, held_out), **_judge_speech(school, tensors, plan)}


def _judge_units(tensors: Tensors, speaking: Speaking, batches: SpeakingBatches) -> Measured:
    """Of held-out answers as they were said: cross entropy, and the share of units that come first."""
    losses, right = [], []
    for step in range(_JUDGED_BATCHES):
        prompts, spoken = batches.at(step)
        with torch.no_grad():
            logits = tensors.run(speaking, prompts, spoken)
        losses.append(float(speaking_losses(logits, spoken)["units"]))
        right.append(share_said(logits, spoken))
    return {"cross_entropy": float(np.mean(losses)), "accuracy": float(np.mean(right))}


def _judge_speech(school: School, tensors: Tensors, plan: Plan) -> Measured:
    """Of held-out answers as they are generated, after both kinds of prompt."""
    conversation = Conversation(Trained(school.info, tensors), school.info, school.tokenizer)
    answers = school.held_out_answers[: plan.judged_answers]
    question = asked(school.held_out_questions[0], np.random.default_rng(plan.seed))
    alone, after = judge_speech(conversation, answers), judge_speech(conversation, answers, question)
    return {
        "wer": alone["wer"],
        "ended": alone["ended"],
        "wer_after_a_question": after["wer"],
        "ended_after_a_question": after["ended"],
    }


def gate(measured: Measured) -> str:
    faults = [
        f"{measured[name]:.1%} wrong words are heard in generated speech ({name}), at most {_LARGEST_WER:.0%} would do"
        for name in ("wer", "wer_after_a_question")
        if measured[name] > _LARGEST_WER
    ]
    faults += [
        f"{measured[name]:.1%} of the answers end as they should ({name}), at least {_LEAST_ENDED:.0%} must"
        for name in ("ended", "ended_after_a_question")
        if measured[name] < _LEAST_ENDED
    ]
    return "; ".join(faults)


STAGE = Stage(
    NAME,
    "the top stack learns to speak",
    make,
    gate,
    needs=("layout", "units", "listening"),
    amounts=("top_steps", "top_answers_alone", "top_prompts", "top_answers_each", "judged_answers"),
)
