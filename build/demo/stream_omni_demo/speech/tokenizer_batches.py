"""Batches for the speech tokenizer's training: utterances in new surroundings each time, and what they were before."""

from __future__ import annotations

from collections.abc import Sequence
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
from stream_omni_demo.speech.tokenizer_network import unit_count
from stream_omni_demo.voices.augmentation import Augmentation, Surroundings
from stream_omni_demo.voices.corpus import Utterance
from stream_omni_demo.voices.sound import Sound, at_rate

_CLEAN_SHARE = 0.5  # of answers, which are only ever heard as they are


@dataclass(frozen=True, eq=False)
class Heard:
    """B utterances: T log-mel frames that are heard, N units, F mel frames that are to be spoken again, L letters."""

    feats: Tensor  # [B, 128, T]
    feats_length: Tensor  # int64 [B]
    units: Tensor  # int64 [B]
    mel: Tensor  # [B, 80, F]
    frames: Tensor  # int64 [B]
    left: Tensor  # int64 [B, F]
    right: Tensor  # int64 [B, F]
    weight: Tensor  # [B, F]
    voice: Tensor  # int64 [B]
    letters: Tensor  # int64 [B, L]
    letter_counts: Tensor  # int64 [B]


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
    """``voices``: all that there are, in the order of the speaking head's embeddings. An utterance of another voice
    is said to be the first one's: it can be heard, and not be spoken again."""

    def __init__(self, augmentation: Augmentation, voices: Sequence[str], clock: MelClock, sizes: VocoderSizes) -> None:
        self._augmentation, self._clock, self._sizes = augmentation, clock, sizes
        self._voices = {voice: number for number, voice in enumerate(voices)}

    def augmented(self, utterances: Sequence[Utterance], generator: np.random.Generator) -> Heard:
        waves = [as_said(utterance) for utterance in utterances]
        pairs = []
        for utterance, wave in zip(utterances, waves, strict=True):
            as_it_is = utterance.kind == "answer" and generator.random() < _CLEAN_SHARE
            pairs.append((wave, wave) if as_it_is else self._in_surroundings(wave, generator))
        return self._heard(utterances, pairs)

    def clean(self, utterances: Sequence[Utterance]) -> Heard:
        waves = [as_said(utterance) for utterance in utterances]
        return self._heard(utterances, [(wave, wave) for wave in waves])

    def _in_surroundings(self, wave: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
        """What is heard, and what is to be spoken again: at the same times and speed, and nothing else around it."""
        where = self._augmentation.draw(generator)
        return self._augmentation.apply(wave, where, generator), self._augmentation.apply(
            wave, _undisturbed(where), generator
        )

    def _heard(self, utterances: Sequence[Utterance], pairs: Sequence[tuple[Samples, Samples]]) -> Heard:
        features = [log_mel(heard) for heard, _ in pairs]
        units = [unit_count(each.shape[1]) for each in features]
        places = [self._clock.window(0, count) for count in units]
        letters = [Letters.of(utterance.text) for utterance in utterances]
        return Heard(
            feats=_padded(features),
            feats_length=torch.tensor([each.shape[1] for each in features]),
            units=torch.tensor(units),
            mel=self._mel([said for _, said in pairs], max(place.frames for place in places)),
            frames=torch.tensor([place.frames for place in places]),
            left=_padded([place.left for place in places]),
            right=_padded([place.right for place in places]),
            weight=_padded([place.weight for place in places]),
            voice=torch.tensor([self._voices.get(utterance.voice, 0) for utterance in utterances]),
            letters=_padded([np.array(each) for each in letters]),
            letter_counts=torch.tensor([len(each) for each in letters]),
        )

    def _mel(self, waves: Sequence[Samples], frames: int) -> Tensor:
        hop, rate_hz = self._sizes.hop_samples, self._sizes.sample_rate_hz
        whole = np.zeros((len(waves), frames * hop), np.float32)
        for row, wave in zip(whole, waves, strict=True):
            said = at_rate(Sound(wave, SAMPLE_RATE_HZ), rate_hz).samples[: row.size]
            row[: said.size] = said
        return spectrum.log_mel(torch.from_numpy(whole), self._sizes)


def _undisturbed(where: Surroundings) -> Surroundings:
    return replace(where, decay_s=None, lowest_hz=None, highest_hz=None, noise=None, gain_db=0.0, clipped_at=None)


def _padded(rows: Sequence[NDArray[np.generic]]) -> Tensor:
    """[B, ..., longest], filled up with zeros."""
    longest = max(row.shape[-1] for row in rows)
    whole = np.zeros((len(rows), *rows[0].shape[:-1], longest), rows[0].dtype)
    for place, row in zip(whole, rows, strict=True):
        place[..., : row.shape[-1]] = row
    return torch.from_numpy(whole)
