"""Batches for the speech tokenizer's training: utterances in new surroundings each time, and what they were before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_omni.audio import SAMPLE_RATE_HZ, Samples, log_mel
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import VocoderSizes
from stream_omni_demo.speech import spectrum
from stream_omni_demo.speech.coded import as_said
from stream_omni_demo.speech.teacher import at_times
from stream_omni_demo.speech.tokenizer_network import UNIT_S, unit_count
from stream_omni_demo.voices.augmentation import Augmentation, Surroundings
from stream_omni_demo.voices.corpus import Utterance
from stream_omni_demo.voices.sound import Sound, at_rate

_CLEAN_SHARE = 0.5  # of answers, which are only ever heard as they are


@dataclass(frozen=True, eq=False)
class Heard:
    """B utterances: T log-mel frames that are heard, N units, L letters. S of them, the rows ``spoken``, are by the
    voice that answers, and have F mel frames to be spoken again."""

    feats: Tensor  # [B, 128, T]
    feats_length: Tensor  # int64 [B]
    units: Tensor  # int64 [B]
    taught: Tensor  # [B, N, AXES]: what a recogniser made of each unit's moment
    is_taught: Tensor  # bool [B, N]: where there is speech
    letters: Tensor  # int64 [B, L]
    letter_counts: Tensor  # int64 [B]
    spoken: Tensor  # int64 [S]
    mel: Tensor  # [S, 80, F]
    frames: Tensor  # int64 [S]
    left: Tensor  # int64 [S, F]
    right: Tensor  # int64 [S, F]
    weight: Tensor  # [S, F]


@dataclass(frozen=True, eq=False)
class _Rendering:
    """``said`` is ``heard`` without what disturbs it; the utterance begins in both after ``before_s``."""

    utterance: Utterance
    heard: Samples
    said: Samples
    before_s: float = 0.0
    speed: float = 1.0


class Letters:
    """How an utterance is spelled, for CTC: 0 is its blank."""

    ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
    COUNT = len(ALPHABET) + 1

    @classmethod
    def of(cls, text: str) -> list[int]:
        words = "".join(letter if letter in cls.ALPHABET else " " for letter in text.lower())
        return [cls.ALPHABET.index(letter) + 1 for letter in " ".join(words.split())]

    @classmethod
    def heard(cls, best: NDArray[np.int64]) -> str:
        """``best`` [N]: each place's most probable letter."""
        found = [int(letter) for place, letter in enumerate(best) if place == 0 or letter != best[place - 1]]
        return "".join(cls.ALPHABET[letter - 1] for letter in found if letter)


class HeardMaker:
    """``taught``: what a recogniser made of each utterance (:mod:`stream_omni_demo.speech.teacher`)."""

    def __init__(
        self,
        augmentation: Augmentation,
        taught: Mapping[Utterance, NDArray[np.float16]],
        clock: MelClock,
        sizes: VocoderSizes,
    ) -> None:
        self._augmentation, self._taught, self._clock, self._sizes = augmentation, taught, clock, sizes
        self._speakers = {utterance.voice for utterance in taught if utterance.kind == "answer"}

    def augmented(self, utterances: Sequence[Utterance], generator: np.random.Generator) -> Heard:
        renderings = []
        for utterance in utterances:
            as_it_is = utterance.kind == "answer" and generator.random() < _CLEAN_SHARE
            renderings.append(_as_it_is(utterance) if as_it_is else self._in_surroundings(utterance, generator))
        return self._heard(renderings)

    def clean(self, utterances: Sequence[Utterance]) -> Heard:
        return self._heard([_as_it_is(utterance) for utterance in utterances])

    def _in_surroundings(self, utterance: Utterance, generator: np.random.Generator) -> _Rendering:
        """What is heard, and what is to be spoken again: at the same times and speed, and nothing else around it."""
        wave, where = as_said(utterance), self._augmentation.draw(generator)
        heard = self._augmentation.apply(wave, where, generator)
        said = heard
        if utterance.voice in self._speakers:
            said = self._augmentation.apply(wave, _undisturbed(where), generator)
        return _Rendering(utterance, heard, said, where.before_s, where.speed)

    def _heard(self, renderings: Sequence[_Rendering]) -> Heard:
        features = [log_mel(rendering.heard) for rendering in renderings]
        units = [unit_count(each.shape[1]) for each in features]
        taught = [self._at_units(*each) for each in zip(renderings, units, strict=True)]
        letters = [Letters.of(rendering.utterance.text) for rendering in renderings]
        spoken = [row for row, each in enumerate(renderings) if each.utterance.voice in self._speakers]
        places = [self._clock.window(0, units[row]) for row in spoken]
        return Heard(
            feats=_padded(features),
            feats_length=torch.tensor([each.shape[1] for each in features]),
            units=torch.tensor(units),
            taught=_padded([each.T for each, _ in taught]).transpose(1, 2),
            is_taught=_padded([inside for _, inside in taught]),
            letters=_padded([np.array(each) for each in letters]),
            letter_counts=torch.tensor([len(each) for each in letters]),
            spoken=torch.tensor(spoken, dtype=torch.int64),
            mel=self._mel([renderings[row].said for row in spoken], max((place.frames for place in places), default=0)),
            frames=torch.tensor([place.frames for place in places], dtype=torch.int64),
            left=_padded([place.left for place in places]),
            right=_padded([place.right for place in places]),
            weight=_padded([place.weight for place in places]),
        )

    def _at_units(self, rendering: _Rendering, units: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """[units, AXES] of the recogniser's at each unit's middle, and which units have some of the utterance."""
        seconds = (np.arange(units) + 0.5) * UNIT_S - rendering.before_s
        return at_times(self._taught[rendering.utterance], seconds * rendering.speed)

    def _mel(self, waves: Sequence[Samples], frames: int) -> Tensor:
        hop, rate_hz = self._sizes.hop_samples, self._sizes.sample_rate_hz
        whole = np.zeros((len(waves), frames * hop), np.float32)
        for row, wave in zip(whole, waves, strict=True):
            said = at_rate(Sound(wave, SAMPLE_RATE_HZ), rate_hz).samples[: row.size]
            row[: said.size] = said
        if not waves:
            return torch.zeros(0, spectrum.MEL_CHANNELS, 0)
        return spectrum.log_mel(torch.from_numpy(whole), self._sizes)


def _as_it_is(utterance: Utterance) -> _Rendering:
    wave = as_said(utterance)
    return _Rendering(utterance, wave, wave)


def _undisturbed(where: Surroundings) -> Surroundings:
    return replace(where, decay_s=None, lowest_hz=None, highest_hz=None, noise=None, gain_db=0.0, clipped_at=None)


def _padded(rows: Sequence[NDArray[np.generic]]) -> Tensor:
    """[B, ..., longest], filled up with zeros."""
    if not rows:
        return torch.zeros(0, 0)
    longest = max(row.shape[-1] for row in rows)
    whole = np.zeros((len(rows), *rows[0].shape[:-1], longest), rows[0].dtype)
    for place, row in zip(whole, rows, strict=True):
        place[..., : row.shape[-1]] = row
    return torch.from_numpy(whole)
