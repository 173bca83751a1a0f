"""The corpus as units: what the speech tokenizer heard of each utterance, by itself and in several surroundings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
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


@dataclass(frozen=True)
class Coder:
    """What makes units of a corpus's utterances. Each is the same whoever makes it, and after whichever others."""

    corpus: Corpus
    tokenizer: Session
    augmentation: Augmentation
    renderings: int  # of each question
    seed: int

    def coded(self, places: Sequence[int]) -> list[list[Units]]:
        """Of each of the utterances at ``places``: as said, and a question's renderings."""
        return [self._one(place) for place in places]

    def _one(self, place: int) -> list[Units]:
        wave = as_said(self.corpus[place])
        heard = [wave]
        if self.corpus[place].kind == "question":
            generator = np.random.default_rng((self.seed, place))
            heard += [self.augmentation(wave, generator) for _ in range(self.renderings)]
        return [units_of(samples, self.tokenizer) for samples in heard]


def write_units(found: Iterable[list[Units]], folder: Path) -> None:
    """Of all utterances: the units in one file, and how many each has in another."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(found)
    np.save(folder / _UNITS, np.concatenate([units for row in rows for units in row]).astype(np.int16))
    (folder / _INDEX).write_text(json.dumps([[len(units) for units in row] for row in rows]), encoding="utf-8")


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
