"""How well a voice is understood, and how fast it speaks: what decides whether it joins the cast."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from stream_omni_demo.judge import Judge, word_error_rate
from stream_omni_demo.voices.cast import SYNTHESIZERS, Voice
from stream_omni_demo.voices.sound import level, trim
from stream_omni_demo.voices.synthesizer import Manner

LARGEST_WER = 0.15  # a voice that is understood worse teaches wrong words


@dataclass(frozen=True)
class Audition:
    voice: Voice
    word_error_rate: float
    realtime_factor: float  # of speaking, on one core


def audition(voice: Voice, texts: Sequence[str], judge: Judge) -> Audition:
    """At the voice's own speed and pitch, without noise."""
    began_s = time.process_time() + _children_s()
    sounds = SYNTHESIZERS[voice.synthesizer].speak(texts, Manner(voice.inner))
    took_s = time.process_time() + _children_s() - began_s
    heard = [judge.transcribe(level(trim(sound)).samples, sound.rate_hz) for sound in sounds]
    return Audition(voice, word_error_rate(texts, heard), took_s / sum(sound.seconds for sound in sounds))


def _children_s() -> float:
    """CPU time of the programs that have ended."""
    times = os.times()
    return times.children_user + times.children_system
