"""The corpus as units: what the speech tokenizer heard of each utterance, by itself and in several surroundings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_omni.audio import SAMPLE_RATE_HZ, Samples, log_mel
from stream_omni.runtime.session import Session
from stream_omni_demo.voices.augmentation import Augmentation
from stream_omni_demo.voices.corpus import Corpus, Utterance

Units = NDArray[np.int64]

REST_S = 0.2  # of silence after what is said, in which its last word is still being heard, counted and played

_INDEX, _UNITS = "index.json", "units.npy"
_SAY_EVERY_S = 20.0


@dataclass(frozen=True, eq=False)
class Coded:
    """``clean`` are the units of the utterance as :func:`as_said`; ``heard`` those of questions with other noise, room,
    speed and silence around them, which answers do not have."""

    utterance: Utterance
    clean: Units
    heard: tuple[Units, ...]


def as_said(utterance: Utterance) -> Samples:
    """[N], at 16 kHz, with its rest: recordings are cut where the sound ends, a microphone is not."""
    return np.pad(utterance.samples(SAMPLE_RATE_HZ), (0, round(REST_S * SAMPLE_RATE_HZ)))


def units_of(samples: Samples, tokenizer: Session) -> Units:
    """[N] of 16 kHz ``samples``, as a served turn makes them."""
    features = log_mel(samples)
    inputs = {"feats": features[None], "feats_length": np.array([features.shape[1]], np.int32)}
    units: Units = tokenizer.run(inputs)["indices"][0]
    return units


def write_units(
    corpus: Corpus,
    tokenizer: Session,
    augmentation: Augmentation,
    renderings: int,
    seed: int,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    """``renderings`` of each question; all of them in one file, and how many units each has in another."""
    folder.mkdir(parents=True, exist_ok=True)
    units: list[Units] = []
    lengths: list[list[int]] = []
    began_s = said_s = time.monotonic()
    for place, utterance in enumerate(corpus):
        wave = as_said(utterance)
        heard = [wave]
        if utterance.kind == "question":
            generator = np.random.default_rng((seed, place))
            heard += [augmentation(wave, generator) for _ in range(renderings)]
        found = [units_of(samples, tokenizer) for samples in heard]
        units += found
        lengths.append([len(each) for each in found])
        now_s = time.monotonic()
        if now_s - said_s > _SAY_EVERY_S:
            left_s = (now_s - began_s) / (place + 1) * (len(corpus) - place - 1)
            say(f"units: utterance {place + 1} of {len(corpus)}; {left_s / 60:.1f} minutes left")
            said_s = now_s
    np.save(folder / _UNITS, np.concatenate(units).astype(np.int16))
    (folder / _INDEX).write_text(json.dumps(lengths), encoding="utf-8")


def read_units(folder: Path, corpus: Corpus) -> list[Coded]:
    """One for each utterance of the corpus that they were made of, in its order."""
    lengths = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    parts = _parts(np.load(folder / _UNITS).astype(np.int64), [count for counts in lengths for count in counts])
    coded = []
    for utterance, counts in zip(corpus, lengths, strict=True):
        clean, *heard = (next(parts) for _ in counts)
        coded.append(Coded(utterance, clean, tuple(heard)))
    return coded


def _parts(units: Units, lengths: list[int]) -> Iterator[Units]:
    ends = np.cumsum(lengths)
    yield from np.split(units, ends[:-1])
