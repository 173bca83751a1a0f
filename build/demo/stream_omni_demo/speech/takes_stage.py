"""The stage "takes": mel and melody of all that the output voice says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stream_omni.token2wav import speech_sizes
from stream_omni_demo.checkpoint.folders import demo_info
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.speech.takes import Take, read_takes, write_takes
from stream_omni_demo.voices.stages import open_corpus

NAME = "takes"
_LEAST_VOICED = 0.4  # of all frames


def make(workshop: Workshop) -> Measured:
    _, sizes = speech_sizes(demo_info(workshop))
    write_takes(open_corpus(workshop), sizes, _folder(workshop), workshop.say)
    takes = open_takes(workshop)
    f0 = np.concatenate([take.f0 for take in takes])
    return {
        "minutes": len(f0) * sizes.hop_samples / sizes.sample_rate_hz / 60,
        "voiced": float((f0 > 0).mean()),
        "median_f0_hz": float(np.median(f0[f0 > 0])),
    }


def gate(measured: Measured) -> str:
    low = measured["voiced"] < _LEAST_VOICED
    return f"only {measured['voiced']:.0%} of the output voice's speech was found to be voiced" if low else ""


def open_takes(workshop: Workshop) -> list[Take]:
    return read_takes(_folder(workshop), open_corpus(workshop))


def _folder(workshop: Workshop) -> Path:
    return workshop.folder / NAME


STAGE = Stage(NAME, "mel and melody of the output voice", make, gate, needs=("layout", "corpus"))
