"""What is heard behind speech: seconds of each noise, to cut pieces from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stream_omni.audio import Samples

_NOISE_S = 40
_TALKERS = 6
_LOWEST_HZ = 30  # what lies below is no louder: it cannot be heard


def noises(rate_hz: int, talk: Sequence[Samples], seed: int) -> Mapping[str, Samples]:
    """ "white", "pink" (as loud in every octave) and, if there is any ``talk`` at ``rate_hz`` for it, "babble": several
    people at once. Each has a root mean square of 1."""
    generator = np.random.default_rng([seed, rate_hz])
    size = _NOISE_S * rate_hz
    white = generator.standard_normal(size)
    spectrum = np.fft.rfft(generator.standard_normal(size))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(_LOWEST_HZ * _NOISE_S, np.arange(spectrum.size))), size)
    made = {"white": white, "pink": pink}
    if talk:
        made["babble"] = np.sum([_stream(talk, size, generator) for _ in range(_TALKERS)], axis=0)
    return {name: (wave / np.sqrt(np.mean(wave**2))).astype(np.float32) for name, wave in made.items()}


def _stream(talk: Sequence[Samples], size: int, generator: np.random.Generator) -> Samples:
    """One who never stops."""
    said: list[Samples] = []
    left = size
    while left > 0:
        said.append(talk[generator.integers(len(talk))])
        left -= said[-1].size
    return np.roll(np.concatenate(said), generator.integers(size))[:size]
