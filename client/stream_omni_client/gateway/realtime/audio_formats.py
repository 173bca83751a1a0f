"""How sound travels in events: 16-bit PCM at 24 kHz, or the telephone's G.711 at 8 kHz; mono."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.gateway.api_errors import invalid
from stream_omni_client.gateway.fields import Fields


@dataclass(frozen=True, eq=False)
class AudioFormat:
    """``levels`` (G.711 only): int16 [256], what each byte means."""

    name: str
    rate_hz: int
    bytes_a_sample: int
    levels: NDArray[np.int16] | None = None

    def decode(self, content: bytes) -> NDArray[np.int16]:
        """``content`` holds whole samples."""
        if self.levels is not None:
            return self.levels[np.frombuffer(content, np.uint8)]
        return np.frombuffer(content, "<i2").astype(np.int16)

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        if self.levels is None:
            return samples.astype("<i2").tobytes()
        order = np.argsort(self.levels, kind="stable")
        levels = self.levels[order].astype(np.int32)
        nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, samples)
        return order[nearest].astype(np.uint8).tobytes()

    def describe(self) -> dict[str, Any]:
        """As events name it."""
        return {"type": self.name, "rate": self.rate_hz} if self.levels is None else {"type": self.name}


def _mu_law() -> NDArray[np.int16]:
    codes = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (codes >> 4 & 7).astype(np.int32), (codes & 15).astype(np.int32)
    magnitude = ((mantissa << 3) + 0x84 << exponent) - 0x84
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law() -> NDArray[np.int16]:
    codes = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (codes >> 4 & 7).astype(np.int32), (codes & 15).astype(np.int32)
    magnitude = np.where(exponent == 0, (mantissa << 4) + 8, (mantissa << 4) + 0x108 << np.maximum(exponent - 1, 0))
    return np.where(codes & 0x80, magnitude, -magnitude).astype(np.int16)


PCM16 = AudioFormat("audio/pcm", 24_000, 2)
FORMATS = {
    form.name: form
    for form in (PCM16, AudioFormat("audio/pcmu", 8000, 1, _mu_law()), AudioFormat("audio/pcma", 8000, 1, _a_law()))
}


def read_format(fields: Fields | None, present: AudioFormat) -> AudioFormat:
    """The format that a client chose; ``present`` where it chose none. Raises ApiError."""
    if fields is None:
        return present
    fields.refuse_unknown({"type", "rate"})
    chosen = FORMATS[fields.choice("type", tuple(FORMATS)) or PCM16.name]
    if fields.raw("rate") not in (None, chosen.rate_hz):
        path = fields.path("rate")
        raise invalid(f"{path} can only be {chosen.rate_hz} for {chosen.name}", path, "invalid_value")
    return chosen
