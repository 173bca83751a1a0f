"""Speech as a file, made piece by piece: one header at the beginning, and never anything twice."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.audio import Audio
from stream_omni_client.gateway.resampling import Resampler

PCM_RATE_HZ = 24_000  # what users of OpenAI's interface take raw samples for
# Of an answer without speech: a file without any sample is none to many readers
NO_SPEECH = Audio(np.zeros(PCM_RATE_HZ // 100, np.int16), PCM_RATE_HZ)


class Encoder(Protocol):
    """Of one file. The joined bytes of all calls are the file."""

    def add(self, samples: NDArray[np.int16]) -> bytes: ...

    def finish(self) -> bytes: ...


@dataclass(frozen=True)
class SoundFormat:
    """``encoder`` makes one for speech of a sample rate in Hz."""

    media_type: str
    encoder: Callable[[int], Encoder]


class PcmEncoder:
    """16-bit little-endian mono samples at :data:`PCM_RATE_HZ`, and nothing else."""

    def __init__(self, rate_hz: int) -> None:
        self._resampler = None if rate_hz == PCM_RATE_HZ else Resampler(rate_hz, PCM_RATE_HZ)

    def add(self, samples: NDArray[np.int16]) -> bytes:
        return _little_endian(samples if self._resampler is None else self._resampler.add(samples))

    def finish(self) -> bytes:
        return b"" if self._resampler is None else _little_endian(self._resampler.finish())


class WavEncoder:
    """At the rate of the speech. The header cannot know the length: it says the greatest, as streams of WAV do."""

    def __init__(self, rate_hz: int) -> None:
        self._header = wav_header(rate_hz, None)

    def add(self, samples: NDArray[np.int16]) -> bytes:
        header, self._header = self._header, b""
        return header + _little_endian(samples)

    def finish(self) -> bytes:
        return self._header


class FlacEncoder:
    """Leaves whole at the end: its header holds the length, without which libsndfile's users cannot read it."""

    def __init__(self, rate_hz: int) -> None:
        import soundfile

        self._content = io.BytesIO()
        self._file = soundfile.SoundFile(self._content, "w", rate_hz, 1, "PCM_16", format="FLAC")

    def add(self, samples: NDArray[np.int16]) -> bytes:
        self._file.write(samples)
        return b""

    def finish(self) -> bytes:
        self._file.close()
        return self._content.getvalue()


class LibraryEncoder:
    """What libsndfile writes piece by piece: Opus in Ogg, and MP3 of 64 kbit/s. A varying rate, without the table
    that can be written only at the end, would have readers guess a wrong length."""

    def __init__(self, rate_hz: int, kind: str, subtype: str) -> None:
        import soundfile

        self._tap = _Tap()
        constant = {"bitrate_mode": "CONSTANT", "compression_level": 0.6} if kind == "MP3" else {}
        self._file = soundfile.SoundFile(self._tap, "w", rate_hz, 1, subtype, format=kind, **constant)

    def add(self, samples: NDArray[np.int16]) -> bytes:
        self._file.write(samples)
        self._file.flush()
        return self._tap.take()

    def finish(self) -> bytes:
        self._file.close()
        return self._tap.take()


class OpusEncoder:
    """Opus knows no rate of 22.05 kHz, so the speech is resampled."""

    def __init__(self, rate_hz: int) -> None:
        self._resampler = Resampler(rate_hz, PCM_RATE_HZ)
        self._encoder = LibraryEncoder(PCM_RATE_HZ, "OGG", "OPUS")

    def add(self, samples: NDArray[np.int16]) -> bytes:
        return self._encoder.add(self._resampler.add(samples))

    def finish(self) -> bytes:
        return self._encoder.add(self._resampler.finish()) + self._encoder.finish()


SPEECH_FORMATS: Mapping[str, SoundFormat] = {
    "mp3": SoundFormat("audio/mpeg", lambda rate_hz: LibraryEncoder(rate_hz, "MP3", "MPEG_LAYER_III")),
    "opus": SoundFormat("audio/ogg", OpusEncoder),
    "flac": SoundFormat("audio/flac", FlacEncoder),
    "wav": SoundFormat("audio/wav", WavEncoder),
    "pcm": SoundFormat("audio/pcm", PcmEncoder),
}
CHAT_FORMATS = {"pcm16" if name == "pcm" else name: sound_format for name, sound_format in SPEECH_FORMATS.items()}


def whole_file(audio: Audio, sound_format: SoundFormat) -> bytes:
    """Of speech that is there already: then a WAV's header knows the length."""
    if sound_format.encoder is WavEncoder:
        return wav_header(audio.sample_rate_hz, len(audio.samples)) + _little_endian(audio.samples)
    encoder = sound_format.encoder(audio.sample_rate_hz)
    return encoder.add(audio.samples) + encoder.finish()


def wav_header(rate_hz: int, count: int | None) -> bytes:
    """44 bytes for 16-bit mono samples; ``count`` None: not known yet."""
    size = 2**32 - 1 - 36 if count is None else 2 * count
    format_chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", size + 36, b"WAVE") + format_chunk + struct.pack("<4sI", b"data", size)


class _Tap(io.RawIOBase):
    """A file for libsndfile whose new bytes are taken as they come. What it would write over when it closes (MP3's
    table of places to jump to) is gone already, so it is dropped: the frame kept for it plays as 26 ms of silence."""

    def __init__(self) -> None:
        self._position = self._end = 0
        self._new = bytearray()

    def write(self, content: bytes) -> int:  # type: ignore[override]
        new = self._position + len(content) - self._end
        self._position += len(content)
        if new > 0:
            self._new += content[len(content) - new :]
            self._end = self._position
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = bytes(self._new)
        self._new.clear()
        return taken


def _little_endian(samples: NDArray[np.int16]) -> bytes:
    return samples.astype("<i2", copy=False).tobytes()
