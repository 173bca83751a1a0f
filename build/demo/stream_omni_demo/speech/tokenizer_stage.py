"""The stage "speech_tokenizer": what turns heard speech into units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import save_file

from stream_omni.audio import SAMPLE_RATE_HZ, log_mel
from stream_omni.mel_clock import MelClock
from stream_omni.token2wav import speech_sizes
from stream_omni_demo.checkpoint.folders import demo_info, trained_speech_tokenizer
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.sizes import UNIT_LEVELS
from stream_omni_demo.speech.spectrum import MEL_CHANNELS
from stream_omni_demo.speech.surroundings import augmentation
from stream_omni_demo.speech.teacher import AXES
from stream_omni_demo.speech.teacher_stage import open_heard
from stream_omni_demo.speech.tokenizer_batches import HeardMaker, Letters
from stream_omni_demo.speech.tokenizer_export import agreement, write_tokenizer
from stream_omni_demo.speech.tokenizer_heads import HeadSizes
from stream_omni_demo.speech.tokenizer_network import TokenizerSizes
from stream_omni_demo.speech.tokenizer_training import TokenizerLearner, TokenizerTraining, measure
from stream_omni_demo.voices.corpus import Corpus, Split
from stream_omni_demo.voices.stages import open_corpus

NAME = "speech_tokenizer"
_LEARNING_RATE = 2e-3
_LARGEST_LETTER_ERROR = {"answers": 0.04, "questions": 0.08, "strangers": 0.25}
_LARGEST_MEL_ERROR = 0.8  # of answers
_LEAST_UNITS_IN_USE = 128
_LEAST_AGREEMENT = 0.999
_CALIBRATED = 40  # steps' batches
_COMPARED = 40  # utterances, with the file that is served
_ASKED: Mapping[str, Split] = {"questions": "held_out_sentence", "strangers": "held_out_voice"}


def make(workshop: Workshop) -> Measured:
    plan, corpus = workshop.plan, open_corpus(workshop)
    trained_on = corpus.select(split="train")
    clock_sizes = speech_sizes(demo_info(workshop))
    taught = dict(zip(corpus, open_heard(workshop), strict=True))
    maker = HeardMaker(augmentation(workshop, corpus), taught, MelClock.of(*clock_sizes), clock_sizes[1])
    torch.manual_seed(plan.seed)
    heads = HeadSizes(len(UNIT_LEVELS), Letters.COUNT, AXES, MEL_CHANNELS)
    learner = TokenizerLearner(TokenizerSizes(UNIT_LEVELS), heads)
    training = TokenizerTraining(learner, trained_on, maker, plan.tokenizer_rows, plan.seed)
    train(
        NAME,
        list(learner.parameters()),
        training.losses,
        Recipe(plan.tokenizer_steps, _LEARNING_RATE),
        workshop.state(NAME),
        workshop.say,
    )
    training.calibrate(range(plan.tokenizer_steps, plan.tokenizer_steps + min(_CALIBRATED, plan.tokenizer_steps)))
    workshop.trained(NAME).parent.mkdir(parents=True, exist_ok=True)
    save_file(learner.state_dict(), workshop.trained(NAME))
    path = trained_speech_tokenizer(workshop)
    write_tokenizer(learner.tokenizer, path)
    held_out = corpus.select(split="held_out_sentence")
    features = [log_mel(utterance.samples(SAMPLE_RATE_HZ)) for utterance in list(held_out)[:_COMPARED]]
    compared = np.mean([agreement(learner.tokenizer, path, each) for each in features])
    return {**_judge(learner, corpus, maker, plan.seed), "agreement": float(compared)}


def _judge(learner: TokenizerLearner, corpus: Corpus, maker: HeardMaker, seed: int) -> dict[str, float]:
    """Answers as they are, questions in surroundings: as each is heard."""
    answers = measure(learner, corpus.select(kind="answer", split="held_out_sentence"), maker)
    found = {f"answers_{name}": value for name, value in answers.items()}
    for name, split in _ASKED.items():
        generator = np.random.default_rng(seed)
        questions = measure(learner, corpus.select(kind="question", split=split), maker, generator)
        found |= {f"{name}_{error}": questions[error] for error in ("letter_error", "word_error")}
    return found


def gate(measured: Measured) -> str:
    faults = [
        f"{measured[f'{name}_letter_error']:.1%} of the letters of {name} are heard wrong, at most {most:.0%} would do"
        for name, most in _LARGEST_LETTER_ERROR.items()
        if measured[f"{name}_letter_error"] > most
    ]
    if measured["answers_mel_error"] > _LARGEST_MEL_ERROR:
        faults.append(f"units give the mel back within {measured['answers_mel_error']:.2f}, not {_LARGEST_MEL_ERROR}")
    if measured["answers_units_in_use"] < _LEAST_UNITS_IN_USE:
        faults.append(f"only {measured['answers_units_in_use']:.0f} units are in use")
    if measured["agreement"] < _LEAST_AGREEMENT:
        faults.append(f"the file and the network agree on {measured['agreement']:.2%} of the units")
    return "; ".join(faults)


STAGE = Stage(
    NAME,
    "a network that turns heard speech into units",
    make,
    gate,
    needs=("layout", "corpus", "teacher"),
    amounts=("tokenizer_steps", "tokenizer_rows"),
)
