"""Who speaks: every voice of the corpus, what for, and in which manners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from stream_omni_demo.voices.espeak import Espeak
from stream_omni_demo.voices.festival import OUTPUT_VOICE, Festival
from stream_omni_demo.voices.flite import Flite
from stream_omni_demo.voices.kokoro import Kokoro
from stream_omni_demo.voices.letters import Letters
from stream_omni_demo.voices.pico import Pico
from stream_omni_demo.voices.synthesizer import Synthesizer

SynthesizerName = Literal["festival", "flite", "pico", "espeak", "kokoro", "letters"]

SYNTHESIZERS: Mapping[SynthesizerName, Synthesizer] = MappingProxyType(
    {
        "festival": Festival(),
        "flite": Flite(),
        "pico": Pico(),
        "espeak": Espeak(),
        "kokoro": Kokoro(),
        "letters": Letters(),
    }
)
SECONDS_A_TAKE: Mapping[SynthesizerName, float] = MappingProxyType(  # of one core, roughly: for the time left
    {"festival": 0.13, "flite": 0.05, "pico": 0.03, "espeak": 0.03, "kokoro": 1.7, "letters": 0.01}
)

_SPEEDS = (0.85, 0.95, 1.0, 1.05, 1.15, 1.25)
_PITCHES = (0.85, 0.93, 1.0, 1.08, 1.16)
_OWN = (1.0,)


@dataclass(frozen=True)
class Voice:
    """``share`` of the questions, relative to the other voices. A voice that is kept out speaks held-out questions
    only, and nothing is ever trained on it."""

    name: str
    synthesizer: SynthesizerName
    inner: str  # the synthesizer's own name for it
    share: float
    speeds: tuple[float, ...] = _SPEEDS
    pitches: tuple[float, ...] = _OWN
    rate_hz: int = 16_000  # what the speech tokenizer hears
    kept_out: bool = False


def _espeak(inner: str) -> Voice:
    return Voice(f"espeak {inner}", "espeak", inner, share=1.0, pitches=_PITCHES)


def _kokoro(inner: str, kept_out: bool = False) -> Voice:
    return Voice(f"kokoro {inner}", "kokoro", inner, share=0.18, speeds=(0.9, 1.0, 1.1), kept_out=kept_out)


# The voice that answers, at its own speed and pitch; it asks too. 22.05 kHz is what the vocoder makes.
OUTPUT = Voice("slt", "festival", OUTPUT_VOICE, share=4.0, speeds=_OWN, rate_hz=22_050)

_ESPEAK = ("en-us", "en-us+f2", "en-us+f3", "en-us+m2", "en-us+m3", "en-us+m7", "en-us+adam", "en-gb", "en-us-nyc")
# All of its English voices but the kept out one and one that whispers
_KOKORO = (
    *("af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nova", "af_river", "af_sarah"),
    *("af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx", "am_puck"),
    *("am_santa", "bf_alice", "bf_emma", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_lewis"),
)
_KEPT_OUT = "bm_george"

# Shares: much of what sounds like people and is quick, a little of what is slow, and of the tin voices some of each.
CAST = (
    Voice("flite slt", "flite", "slt", share=6.0, pitches=_PITCHES),
    Voice("flite rms", "flite", "rms", share=6.0),  # its pitch cannot be set
    Voice("flite awb", "flite", "awb", share=6.0, pitches=_PITCHES),
    Voice("flite kal16", "flite", "kal16", share=3.0, pitches=_PITCHES),
    Voice("pico en-US", "pico", "en-US", share=7.5, pitches=_PITCHES),
    Voice("pico en-GB", "pico", "en-GB", share=7.5, pitches=_PITCHES),
    *(_espeak(inner) for inner in _ESPEAK),
    *(_kokoro(inner) for inner in _KOKORO),
    _kokoro(_KEPT_OUT, kept_out=True),
)

# For a training that only shows that everything runs
SMOKE_OUTPUT = Voice("letters", "letters", "letters", share=1.0, speeds=_OWN, rate_hz=22_050)
SMOKE_CAST = (
    Voice("letters low", "letters", "letters", share=1.0, pitches=(0.8,)),
    Voice("letters high", "letters", "letters", share=1.0, pitches=(1.3,), kept_out=True),
)
