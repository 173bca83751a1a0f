"""One piece of synthetic speech, and how it is cut, levelled and brought to the rate that the corpus keeps it at."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from stream_omni.audio import Samples

Pcm = NDArray[np.int16]

QUIET = 0.005  # of the largest sample: what lies under it at either end is silence
MARGIN_S = 0.05  # of silence that is kept at either end, so that soft first and last sounds stay whole
LEVEL = 0.1  # root mean square of an utterance
LARGEST = 0.95


@dataclass(frozen=True)
class Sound:
    samples: Samples  # [N], mono
    rate_hz: int

    @property
    def seconds(self) -> float:
        return self.samples.size / self.rate_hz


def read_wav(content: bytes) -> Sound:
    samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return Sound(np.ascontiguousarray(samples[:, 0]), rate_hz)


def trim(sound: Sound) -> Sound:
    """Without the silence at both ends, but for a margin (which is added where there was less).

    Raises ValueError for silence.
    """
    size = np.abs(sound.samples)
    largest = float(size.max(initial=0.0))
    if largest < 1e-4:
        raise ValueError(f"{sound.seconds:.2f} s of silence")
    loud = np.flatnonzero(size > QUIET * largest)
    margin = round(MARGIN_S * sound.rate_hz)
    padded = np.pad(sound.samples, margin)
    return Sound(padded[loud[0] : loud[-1] + 1 + 2 * margin], sound.rate_hz)


def level(sound: Sound) -> Sound:
    """With the root mean square of all the corpus, or as near to it as the largest sample allows."""
    rms = float(np.sqrt(np.mean(np.square(sound.samples, dtype=np.float64))))
    gain = min(LEVEL / rms, LARGEST / float(np.abs(sound.samples).max()))
    return Sound(sound.samples * np.float32(gain), sound.rate_hz)


def at_rate(sound: Sound, rate_hz: int) -> Sound:
    """Resampled through the spectrum of the whole: nothing of it lies beyond what both rates can hold.

    A served resampler has a few taps, and lets some sound through to where a slower recording has none: what a vocoder
    would then learn to make.
    """
    if rate_hz == sound.rate_hz:
        return sound
    divisor = math.gcd(rate_hz, sound.rate_hz)
    old, new = sound.rate_hz // divisor, rate_hz // divisor
    blocks = fast_size(-(-sound.samples.size // old) + 1)  # one more, so that the end does not ring into the beginning
    spectrum = np.fft.rfft(sound.samples, blocks * old)
    samples = np.fft.irfft(spectrum, blocks * new) * (new / old)
    return Sound(samples[: -(-sound.samples.size * new // old)].astype(np.float32), rate_hz)


def fast_size(least: int) -> int:
    """The smallest product of twos, threes and fives that is not below ``least``: what Fourier transforms like."""
    best = 1 << (least - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = 1 << max(0, -(-least // three) - 1).bit_length()
            best = min(best, three * two)
            three *= 3
        five *= 5
    return best


def to_pcm(samples: Samples) -> Pcm:
    pcm: Pcm = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
    return pcm


def from_pcm(pcm: Pcm) -> Samples:
    return pcm.astype(np.float32) / np.float32(32767)
