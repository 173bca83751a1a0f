"""The corpus of speech as the stages read it: one memory-mapped file a shard, one index of what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_omni.audio import Samples
from stream_omni_demo.voices.sound import Pcm, Sound, at_rate, from_pcm

INDEX = "index.json"

Kind = Literal["question", "answer"]
Split = Literal["train", "held_out_sentence", "held_out_voice"]  # the second: by voices that are trained on


@dataclass(frozen=True)
class Utterance:
    text: str
    voice: str
    kind: Kind
    split: Split
    rate_hz: int
    shard: Path
    start: int  # of its samples in the shard
    length: int

    @property
    def seconds(self) -> float:
        return self.length / self.rate_hz

    @property
    def wav(self) -> Pcm:
        """[length], mono, as it lies on the disk."""
        return _mapped(self.shard)[self.start : self.start + self.length]

    def samples(self, rate_hz: int) -> Samples:
        """[N], mono, resampled where it is kept at another rate."""
        return at_rate(Sound(from_pcm(self.wav), self.rate_hz), rate_hz).samples


@lru_cache(maxsize=256)
def _mapped(shard: Path) -> Pcm:
    content: Pcm = np.load(shard, mmap_mode="r")
    return content


class Corpus(Sequence[Utterance]):
    """Utterances in an order that only depends on the plan that they were made by."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self._utterances = list(utterances)

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Raises FileNotFoundError where no corpus was completed."""
        entries = json.loads((folder / INDEX).read_text(encoding="utf-8"))["utterances"]
        return cls([Utterance(**entry | {"shard": folder / entry["shard"]}) for entry in entries])

    def select(self, kind: Kind | None = None, split: Split | None = None, voice: str | None = None) -> Corpus:
        """Those of one kind, split, voice."""
        wanted = {name: value for name, value in (("kind", kind), ("split", split), ("voice", voice)) if value}
        return Corpus([u for u in self if all(getattr(u, name) == value for name, value in wanted.items())])

    @property
    def voices(self) -> list[str]:
        return sorted({utterance.voice for utterance in self})

    @property
    def seconds(self) -> float:
        return sum(utterance.seconds for utterance in self)

    def lengths_s(self) -> NDArray[np.float64]:
        return np.array([utterance.seconds for utterance in self])

    def __len__(self) -> int:
        return len(self._utterances)

    def __getitem__(self, index: int) -> Utterance:  # type: ignore[override]  # there is select() for parts
        return self._utterances[index]

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self._utterances)
