"""The corpus as it may be heard: with noise, among others of which are its own voices."""

from __future__ import annotations

import numpy as np

from stream_omni.audio import SAMPLE_RATE_HZ
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.voices.augmentation import Augmentation
from stream_omni_demo.voices.corpus import Corpus
from stream_omni_demo.voices.noise import noises

_TALKING = 60  # utterances that babble is made of


def augmentation(workshop: Workshop, corpus: Corpus) -> Augmentation:
    """At the speech tokenizer's rate."""
    seed, spoken = workshop.plan.seed, corpus.select(split="train")
    chosen = np.random.default_rng(seed).permutation(len(spoken))[:_TALKING]
    talk = [spoken[i].samples(SAMPLE_RATE_HZ) for i in chosen]
    return Augmentation(SAMPLE_RATE_HZ, noises(SAMPLE_RATE_HZ, talk, seed))
