"""A voice without a program: every letter is a chord of its own. Nobody understands it, but it is speech enough for
running all stages of a training where no synthesizer is installed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_omni.audio import Samples
from stream_omni_demo.voices.sound import Sound
from stream_omni_demo.voices.synthesizer import Manner

_RATE_HZ = 16_000
_LETTER_S = 0.06
_VOICE_HZ = 180.0
_HARMONICS = 12


class Letters:
    def missing(self) -> str:
        return ""

    def speak(self, texts: Sequence[str], manner: Manner) -> list[Sound]:
        return [Sound(np.concatenate([_letter(letter, manner) for letter in text]), _RATE_HZ) for text in texts]


def _letter(letter: str, manner: Manner) -> Samples:
    """The harmonics of one tone, with two peaks where the letter has them; a space is silence."""
    size = round(_LETTER_S / manner.speed * _RATE_HZ)
    if not letter.isalpha():
        return np.zeros(size, np.float32)
    low, high = 300 + 90 * (ord(letter) % 7), 1200 + 250 * (ord(letter) % 5)
    hz = _VOICE_HZ * manner.pitch * np.arange(1, _HARMONICS + 1)
    loudness = np.exp(-(((hz - low) / 150) ** 2)) + 0.5 * np.exp(-(((hz - high) / 250) ** 2)) + 0.02
    seconds = np.arange(size) / _RATE_HZ
    waves = np.sin(2 * np.pi * hz[:, None] * seconds) * loudness[:, None]
    chord: Samples = (waves.sum(axis=0) * np.hanning(size) * 0.2).astype(np.float32)
    return chord
