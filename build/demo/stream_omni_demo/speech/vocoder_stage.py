"""The stage "vocoder": HiFT learns to make the output voice of its mel."""

from __future__ import annotations

from stream_omni_demo.checkpoint.folders import demo_info
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.speech.takes import of_split
from stream_omni_demo.speech.takes_stage import open_takes
from stream_omni_demo.speech.vocoder_training import VocoderTraining, initial_tensors, measure

NAME = "vocoder"
_LEARNING_RATE = 2e-3
_ROUNDS = 2
_LARGEST_MEL_ERROR = 0.4
_LARGEST_VOICING_ERROR = 0.08
_LARGEST_PEAK = 0.95
_LARGEST_OFFSET = 0.005


def make(workshop: Workshop) -> Measured:
    plan, info, takes = workshop.plan, demo_info(workshop), open_takes(workshop)
    tensors = initial_tensors(info, plan.seed)
    spoken = of_split(takes, "train")
    training = VocoderTraining(
        info, tensors, spoken, plan.vocoder_steps, plan.vocoder_rows, plan.vocoder_frames, plan.seed
    )
    train(
        NAME,
        training.parameters,
        training.losses,
        Recipe(plan.vocoder_steps, _LEARNING_RATE, rounds=_ROUNDS),
        workshop.state(NAME),
        workshop.say,
    )
    tensors.save(workshop.trained(NAME))
    return measure(info, tensors, of_split(takes, "held_out_sentence")[: plan.measured_takes])


def gate(measured: Measured) -> str:
    limits = {
        "mel_error": (_LARGEST_MEL_ERROR, "the mel of what it makes differs by"),
        "voicing_error": (_LARGEST_VOICING_ERROR, "frames that are voiced when they should not be, or not:"),
        "peak": (_LARGEST_PEAK, "the largest sample is"),
        "offset": (_LARGEST_OFFSET, "the mean of an utterance's samples is"),
    }
    return "; ".join(
        f"{text} {measured[name]:.3f}, at most {most} would do"
        for name, (most, text) in limits.items()
        if measured[name] > most
    )


STAGE = Stage(
    NAME,
    "HiFT makes speech of the output voice's mel",
    make,
    gate,
    needs=("layout", "takes"),
    amounts=("vocoder_steps", "vocoder_rows", "vocoder_frames", "measured_takes"),
)
