"""The stage "teacher": what a recogniser makes of the corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.speech.teacher import RATE_HZ, Whisper, plain_mel, read_heard, write_heard
from stream_omni_demo.voices.stages import open_corpus

NAME = "teacher"


def make(workshop: Workshop) -> Measured:
    listener = Whisper(workshop.plan.threads) if workshop.plan.synthesizers else plain_mel
    write_heard(open_corpus(workshop), listener, _folder(workshop), workshop.say)
    heard = open_heard(workshop)
    return {
        "utterances": len(heard),
        "minutes": sum(map(len, heard)) / RATE_HZ / 60,
        "not_finite": float(sum(not np.isfinite(each).all() for each in heard)),
    }


def open_heard(workshop: Workshop) -> list[NDArray[np.float16]]:
    """[frames, axes] of each of the corpus' utterances, in its order."""
    return read_heard(_folder(workshop))


def _folder(workshop: Workshop) -> Path:
    return workshop.folder / NAME


def _gate(measured: Measured) -> str:
    return f"of {measured['not_finite']:.0f} utterances not all is finite" if measured["not_finite"] else ""


STAGE = Stage(
    NAME,
    "what a recogniser makes of the corpus, for the speech tokenizer to imitate",
    make,
    _gate,
    needs=("corpus",),
    amounts=("synthesizers",),
)
