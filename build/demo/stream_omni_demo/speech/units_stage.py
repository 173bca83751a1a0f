"""The stage "units": the whole corpus as the speech tokenizer hears it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np

from stream_omni.runtime.onnx_runtime import OnnxSession
from stream_omni_demo.checkpoint.folders import trained_speech_tokenizer
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.plan import Plan
from stream_omni_demo.speech.coded import Coded, Coder, Units, read_units, write_units
from stream_omni_demo.speech.surroundings import augmentation
from stream_omni_demo.voices.stages import open_corpus

NAME = "units"
_UTTERANCES = 200  # that a process is given at a time


def make(workshop: Workshop) -> Measured:
    write_units(_coded(workshop, len(open_corpus(workshop))), _folder(workshop))
    coded = open_units(workshop)
    every = np.concatenate([units for each in coded for units in (each.clean, *each.heard)])
    return {"utterances": len(coded), "units": len(every), "different_units": len(np.unique(every))}


def _coded(workshop: Workshop, count: int) -> Iterator[list[Units]]:
    """Of all utterances in their order, by several processes side by side."""
    parts = [range(begin, min(begin + _UTTERANCES, count)) for begin in range(0, count, _UTTERANCES)]
    began_s = time.monotonic()
    for done, found in enumerate(_in_parts(workshop, parts), start=1):
        yield from found
        left_s = (time.monotonic() - began_s) / done * (len(parts) - done)
        workshop.say(f"{NAME}: part {done} of {len(parts)}; {left_s / 60:.1f} minutes left")


def _in_parts(workshop: Workshop, parts: Sequence[range]) -> Iterator[list[list[Units]]]:
    folder, plan = workshop.folder, workshop.plan
    if plan.corpus_processes == 1:
        yield from map(_coder(folder, plan).coded, parts)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of whoever trains here
    with ProcessPoolExecutor(plan.corpus_processes, context) as pool:
        yield from pool.map(partial(_code, folder, plan), parts)


def _code(folder: Path, plan: Plan, places: range) -> list[list[Units]]:
    return _own_coder(folder, plan).coded(places)


def _coder(folder: Path, plan: Plan) -> Coder:
    workshop = Workshop(folder, plan)
    corpus = open_corpus(workshop)
    tokenizer = OnnxSession(trained_speech_tokenizer(workshop), threads=plan.threads)
    return Coder(corpus, tokenizer, augmentation(workshop, corpus), plan.renderings, plan.seed)


_own_coder = cache(_coder)  # of a process


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
