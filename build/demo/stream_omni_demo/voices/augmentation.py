"""The same words as another microphone would bring them: noise, rooms, telephones, levels, pauses, speeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream_omni.audio import Samples
from stream_omni_demo.voices.sound import fast_size

_TAIL_S = 0.15  # of a room, that is kept after the last word
_LONGEST_ECHO_S = 0.4


@dataclass(frozen=True)
class Surroundings:
    """Where something is said; what is None is not there."""

    speed: float  # of a tape: the pitch goes with it
    decay_s: float | None  # in which a room's echo falls by 60 dB
    echo_db: float  # of all the echo, relative to the direct sound
    lowest_hz: float | None
    highest_hz: float | None
    before_s: float
    after_s: float
    noise: str | None
    noise_db: float  # how far the noise lies below the speech
    gain_db: float
    clipped_at: float | None  # of the largest sample, softly


class Augmentation:
    """Of mono speech at one rate; ``noises`` as :func:`stream_omni_demo.voices.noise.noises` makes them."""

    def __init__(self, rate_hz: int, noises: Mapping[str, Samples]) -> None:
        self._rate_hz, self._noises = rate_hz, noises

    def __call__(self, samples: Samples, generator: np.random.Generator) -> Samples:
        """All that is random comes from ``generator``."""
        return self.apply(samples, self.draw(generator), generator)

    def draw(self, generator: np.random.Generator) -> Surroundings:
        def happens(share: float) -> bool:
            return bool(generator.random() < share)

        return Surroundings(
            speed=generator.uniform(0.9, 1.1),
            decay_s=generator.uniform(0.1, 0.5) if happens(0.5) else None,
            echo_db=generator.uniform(-18, -2),
            lowest_hz=generator.uniform(60, 300) if happens(0.4) else None,
            highest_hz=generator.uniform(3400, 7600) if happens(0.3) else None,
            before_s=generator.uniform(0.1, 0.8),
            after_s=generator.uniform(0.1, 0.8),
            noise=sorted(self._noises)[generator.integers(len(self._noises))] if happens(0.75) else None,
            noise_db=generator.uniform(5, 40),
            gain_db=generator.uniform(-18, 3),
            clipped_at=generator.uniform(0.3, 0.9) if happens(0.1) else None,
        )

    def apply(self, samples: Samples, where: Surroundings, generator: np.random.Generator) -> Samples:
        """``generator`` gives the walls of the room and the moment of the noise. Nothing exceeds 1."""
        said = self._transformed(samples, where, generator)
        before, after = (round(seconds * self._rate_hz) for seconds in (where.before_s, where.after_s))
        heard = np.pad(said, (before, after))
        if where.noise is not None:
            noise = self._noises[where.noise]
            start = generator.integers(max(1, noise.size - heard.size))
            noise = np.resize(noise[start:], heard.size)
            heard += noise * np.float32(10 ** (-where.noise_db / 20) * _rms(said) / _rms(noise))
        if where.clipped_at is not None:
            limit = np.float32(where.clipped_at * np.abs(heard).max())
            heard = limit * np.tanh(heard / limit)
        gain = min(10 ** (where.gain_db / 20), 1 / max(1e-9, float(np.abs(heard).max())))
        return heard * np.float32(gain)

    def _transformed(self, samples: Samples, where: Surroundings, generator: np.random.Generator) -> Samples:
        """Room, band and speed in one Fourier transform: the speed is that of reading its spectrum at another size."""
        tail = round(_TAIL_S * self._rate_hz) if where.decay_s is not None else 0
        size = fast_size(samples.size + round(_LONGEST_ECHO_S * self._rate_hz))
        spectrum = np.fft.rfft(samples, size)
        if where.decay_s is not None:
            spectrum *= np.fft.rfft(self._echo(where.decay_s, where.echo_db, generator), size)
        squared_hz = np.square(np.arange(1, spectrum.size + 1) * (self._rate_hz / size))
        if where.lowest_hz is not None:
            spectrum *= 1 / (1 + np.square(where.lowest_hz**2 / squared_hz))
        if where.highest_hz is not None:
            spectrum *= 1 / (1 + np.square(np.square(squared_hz / where.highest_hz**2)))
        new_size = fast_size(round(size / where.speed))
        said = np.fft.irfft(spectrum, new_size) * (new_size / size)
        return said[: (samples.size + tail) * new_size // size].astype(np.float32)

    def _echo(self, decay_s: float, echo_db: float, generator: np.random.Generator) -> Samples:
        """A room's answer to a click: the click itself, then noise that dies away."""
        size = round(min(decay_s, _LONGEST_ECHO_S) * self._rate_hz)
        seconds = np.arange(1, size + 1, dtype=np.float32) / np.float32(self._rate_hz)
        echo = generator.standard_normal(size, np.float32) * np.exp(np.float32(-math.log(1000) / decay_s) * seconds)
        echo *= np.float32(10 ** (echo_db / 20) / math.sqrt(float(echo @ echo)))
        return np.concatenate([np.ones(1, np.float32), echo])


def _rms(samples: Samples) -> float:
    return math.sqrt(float(samples @ samples) / samples.size)
