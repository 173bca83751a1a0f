"""The stage "flow": units become the output voice's mel."""

from __future__ import annotations

from stream_omni.cosyvoice_checkpoint import VOICES, read_voices
from stream_omni.token2wav import speech_sizes
from stream_omni_demo.checkpoint.folders import demo_info, layout_of
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.speech.flow_learner import initial_tensors
from stream_omni_demo.speech.flow_training import FlowTraining, mean_mel, measure, spoken
from stream_omni_demo.speech.takes import of_split
from stream_omni_demo.speech.takes_stage import open_takes
from stream_omni_demo.speech.units_stage import open_units

NAME = "flow"
_LEARNING_RATE = 2e-3
_MOST_BEYOND_MEAN = 1.25  # a sample differs more from one true mel than their mean does, but not by much


def make(workshop: Workshop) -> Measured:
    plan, info = workshop.plan, demo_info(workshop)
    flow, _ = speech_sizes(info)
    # as it stands in the checkpoint: the flow is trained with it
    speaker = read_voices(layout_of(workshop).cosyvoice / VOICES, flow.speaker_size)[info.default_voice]
    takes, coded = open_takes(workshop), open_units(workshop)
    said, held_out = (spoken(of_split(takes, split), coded, info) for split in ("train", "held_out_sentence"))
    tensors = initial_tensors(info, mean_mel(said), plan.seed)
    training = FlowTraining(info, tensors, said, speaker, plan.flow_rows, plan.seed)
    train(
        NAME,
        training.parameters,
        training.losses,
        Recipe(plan.flow_steps, _LEARNING_RATE),
        workshop.state(NAME),
        workshop.say,
    )
    tensors.save(workshop.trained(NAME))
    return measure(info, tensors, held_out[: plan.measured_takes], speaker)


def gate(measured: Measured) -> str:
    beyond = measured["sampled_error"] / measured["mean_error"]
    if beyond > _MOST_BEYOND_MEAN:
        return f"sampled mels are {beyond:.2f} times as far from the true ones as their mean, not {_MOST_BEYOND_MEAN}"
    return ""


STAGE = Stage(
    NAME,
    "units become the output voice's mel",
    make,
    gate,
    needs=("layout", "takes", "units"),
    amounts=("flow_steps", "flow_rows", "measured_takes"),
)
