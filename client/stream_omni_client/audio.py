"""Sound going in (files, bytes, arrays) and sound coming out (:class:`Audio`)."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.errors import InvalidRequest

_BLOCK_FRAMES = 16_384  # of up to a thousand channels
WRITABLE_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


@dataclass(frozen=True, eq=False)
class Audio:
    """Speech: ``samples`` int16 [N], mono, at ``sample_rate_hz``."""

    samples: NDArray[np.int16]
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """The length in seconds."""
        return len(self.samples) / self.sample_rate_hz

    def __getitem__(self, seconds: slice) -> Audio:
        """``audio[0.5:2]`` is what lies between these seconds; negative ones count from the end."""
        if not isinstance(seconds, slice) or seconds.step is not None:
            raise TypeError("audio is cut by seconds, as in audio[0.5:2]")
        begin, end = (None if at is None else round(at * self.sample_rate_hz) for at in (seconds.start, seconds.stop))
        return Audio(self.samples[begin:end], self.sample_rate_hz)

    def numpy(self) -> NDArray[np.float32]:
        """The samples as float32 [N] in -1..1."""
        return self.samples.astype(np.float32) / 32768

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a sound file; the suffix says which kind (:data:`WRITABLE_SUFFIXES`).

        Raises ValueError for another suffix, OSError for a place that cannot be written.
        """
        import soundfile

        if Path(path).suffix.lower() not in WRITABLE_SUFFIXES:
            raise ValueError(f"{os.fspath(path)} must end in one of {', '.join(WRITABLE_SUFFIXES)}")
        try:
            soundfile.write(os.fspath(path), self.samples, self.sample_rate_hz)
        except soundfile.SoundFileError as error:
            raise OSError(str(error)) from error

    def play(self) -> None:
        """Play it on this machine, and wait for its end. Needs the extra ``play``.

        Raises ModuleNotFoundError without it, OSError where there is no sound device.
        """
        from stream_omni_client.speaker import Speaker

        with Speaker() as speaker:
            speaker.play(self)
            speaker.wait()


AudioInput: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | tuple[NDArray[Any], int] | Audio
)
"""A path, an encoded file's bytes, an open binary file, ``(array, sample_rate_hz)``, or an earlier answer's audio."""


@np.errstate(all="ignore")  # what is not finite, or has no finite mean, the server refuses and names the sample
def read_audio(source: AudioInput, longest_s: float = float("inf")) -> tuple[NDArray[np.float32], int]:
    """Mono samples float32 [N] in -1..1 and their rate in Hz; channels are averaged.

    Raises :class:`InvalidRequest` for what is no sound, or a file of more than ``longest_s``; OSError for a file that
    cannot be read.
    """
    if isinstance(source, Audio):
        return source.numpy(), source.sample_rate_hz
    if isinstance(source, tuple):
        return _read_array(source)
    if isinstance(source, (str, os.PathLike)):
        return _decode(Path(source).read_bytes(), f"the file {os.fspath(source)}", longest_s)
    if hasattr(source, "read"):
        source = source.read()
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), "the audio", longest_s)
    raise TypeError(f"audio is a path, bytes, a file open for bytes, or (array, rate), not {type(source).__name__}")


def _read_array(source: tuple[NDArray[Any], int]) -> tuple[NDArray[np.float32], int]:
    if len(source) != 2 or not isinstance(source[1], (int, float, np.number)):
        raise InvalidRequest("samples go with their rate in Hz: (array, rate)")
    return _to_mono(_to_float(np.asarray(source[0]))), int(source[1])


def _decode(content: bytes, name: str, longest_s: float) -> tuple[NDArray[np.float32], int]:
    import soundfile  # not at the top: it loads a C library that text-only users never need

    blocks: list[NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:  # in blocks, for a broken header may claim any length
            rate, read = int(file.samplerate), 0
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                blocks.append(_to_mono(block))
                read += len(block)
                if read > longest_s * rate:  # silence can be packed to next to nothing
                    raise InvalidRequest(f"{name} lasts more than {longest_s:g} s; send a shorter piece")
    except soundfile.SoundFileError as error:
        raise InvalidRequest(f"{name} is no sound file that can be read (WAV, FLAC, OGG, MP3)") from error
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32), rate


def _to_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    if samples.dtype in (np.int16, np.int32):
        full_scale = np.float32(2 ** (8 * samples.itemsize - 1))
        return samples.astype(np.float32) / full_scale
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32)
    raise InvalidRequest(f"audio arrays are float, int16 or int32, this one is {samples.dtype}: convert it")


def _to_mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    if samples.ndim not in (1, 2):
        raise InvalidRequest(f"audio arrays have the shape [N] or [N, channels], this one has {list(samples.shape)}")
    mono: NDArray[np.float32] = samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    return mono
