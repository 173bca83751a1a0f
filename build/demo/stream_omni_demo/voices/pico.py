"""SVOX Pico: one American and one British voice, in a Python package with their data."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from stream_omni_demo.voices.sound import Sound, from_pcm
from stream_omni_demo.voices.synthesizer import Manner, MissingError

PACKAGE = "py-nanotts"
_RATE_HZ = 16_000


class Pico:
    def missing(self) -> str:
        return "" if find_spec("py_nanotts") else f"pip install {PACKAGE}"

    def speak(self, texts: Sequence[str], manner: Manner) -> list[Sound]:
        if self.missing():
            raise MissingError(f"SVOX Pico is not installed: {self.missing()}")
        return [Sound(from_pcm(np.frombuffer(_say(text, manner), np.int16)), _RATE_HZ) for text in texts]


def _say(text: str, manner: Manner) -> bytes:
    from py_nanotts import NanoTTS

    said: bytes = NanoTTS().speak(text, voice=manner.voice, speed=manner.speed, pitch=manner.pitch)
    return said
