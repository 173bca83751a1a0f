"""The stage "units": the whole corpus as the speech tokenizer hears it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stream_omni.runtime.onnx_runtime import OnnxSession
from stream_omni_demo.checkpoint.folders import trained_speech_tokenizer
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.speech.coded import Coded, read_units, write_units
from stream_omni_demo.speech.surroundings import augmentation
from stream_omni_demo.voices.stages import open_corpus

NAME = "units"


def make(workshop: Workshop) -> Measured:
    plan, corpus = workshop.plan, open_corpus(workshop)
    tokenizer = OnnxSession(trained_speech_tokenizer(workshop), threads=plan.threads)
    surroundings = augmentation(workshop, corpus)
    write_units(corpus, tokenizer, surroundings, plan.renderings, plan.seed, _folder(workshop), workshop.say)
    coded = open_units(workshop)
    every = np.concatenate([units for each in coded for units in (each.clean, *each.heard)])
    return {"utterances": len(coded), "units": len(every), "different_units": len(np.unique(every))}


def open_units(workshop: Workshop) -> list[Coded]:
    """One for each utterance of the corpus, in its order."""
    return read_units(_folder(workshop), open_corpus(workshop))


def _folder(workshop: Workshop) -> Path:
    return workshop.folder / NAME


def _gate(measured: Measured) -> str:
    return ""  # the speech tokenizer has passed its own


STAGE = Stage(
    NAME,
    "the corpus as units, questions in several surroundings",
    make,
    _gate,
    needs=("speech_tokenizer",),
    amounts=("renderings",),
)
