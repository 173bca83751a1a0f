"""Everything random in a turn's speech, from the turn's seed.

Noise is indexed by absolute frame: frame 70 has the same noise whichever chunk it comes in, and whoever else is served.
"""

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Noise(Protocol):
    """What :mod:`stream_omni.token2wav` draws."""

    def flow(self, first_frame: int, frames: int, channels: int) -> FloatArray:
        """Where the flow starts: [channels, frames]."""
        ...

    def phase(self, harmonics: int) -> NDArray[np.float64]:
        """Phase of each harmonic at the first sample, in cycles; the fundamental's is 0: [harmonics]."""
        ...

    def sine(self, first_frame: int, frames: int, harmonics: int, hop: int) -> FloatArray:
        """What is added to each harmonic: [harmonics, hop * frames]."""
        ...


class TurnNoise:
    """Noise of a served turn: Philox (Salmon et al. 2011) keyed by seed and purpose, its counter set by the frame."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def flow(self, first_frame: int, frames: int, channels: int) -> FloatArray:
        blocks = self._blocks("flow", first_frame, frames, (channels,))
        return np.ascontiguousarray(blocks.T)

    def phase(self, harmonics: int) -> NDArray[np.float64]:
        cycles = self._generator("phase", 0).uniform(-0.5, 0.5, harmonics)
        cycles[0] = 0.0
        return cycles

    def sine(self, first_frame: int, frames: int, harmonics: int, hop: int) -> FloatArray:
        blocks = self._blocks("sine", first_frame, frames, (harmonics, hop))
        return blocks.transpose(1, 0, 2).reshape(harmonics, frames * hop)

    def _blocks(self, name: str, first_frame: int, frames: int, shape: tuple[int, ...]) -> FloatArray:
        """Normal deviates [frames, *shape]."""
        found = np.empty((frames, *shape), np.float32)
        for i in range(frames):
            self._generator(name, first_frame + i).standard_normal(dtype=np.float32, out=found[i])
        return found

    def _generator(self, name: str, frame: int) -> np.random.Generator:
        key = np.array([self.seed, zlib.crc32(name.encode())], np.uint64)
        # the counter's lowest word counts within the frame, so that no two frames share a block
        return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, frame, 0, 0], np.uint64)))


class RecordedNoise:
    """Noise of a recorded case: each tensor drawn at once for the whole utterance (the fixtures' recipe)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def flow(self, first_frame: int, frames: int, channels: int) -> FloatArray:
        return self._normal("z", first_frame, (channels, frames))

    def phase(self, harmonics: int) -> NDArray[np.float64]:
        pi = np.float32(np.pi)
        radians = -pi + self._generator("phase").random(harmonics, dtype=np.float32) * (pi + pi)
        radians[0] = 0.0
        return radians.astype(np.float64) / (2 * np.pi)

    def sine(self, first_frame: int, frames: int, harmonics: int, hop: int) -> FloatArray:
        return self._normal("sine_noise", first_frame, (harmonics, frames * hop))

    def _normal(self, name: str, first_frame: int, shape: tuple[int, ...]) -> FloatArray:
        if first_frame != 0:
            raise ValueError(f"recorded noise is drawn for a whole utterance, not from frame {first_frame} on")
        return self._generator(name).standard_normal(shape, dtype=np.float32)

    def _generator(self, name: str) -> np.random.Generator:
        key = np.array([self.seed, zlib.crc32(name.encode())], np.uint64)
        return np.random.Generator(np.random.Philox(key=key))
