"""What one request may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Limits:
    """The defaults; a profile's ``[limits]`` table overrides them. Clients read them in the parameter ``info``."""

    max_request_bytes: int = (
        64_000_000  # three large photographs; Triton holds it all, before any other limit is looked at
    )
    max_audio_in_ms: int = 30_000  # the speech tokenizer was trained on, and its reference accepts, at most 30 s
    min_audio_in_ms: int = 100  # shorter than the shortest word; the tokenizer makes one unit of 40 ms
    min_audio_peak: float = 0.001  # -60 dB of full scale: what a muted microphone delivers
    max_audio_peak: float = (
        2.0  # resampled or mixed speech overshoots 1 a little; integers sent as floats are far above
    )
    min_sample_rate_hz: int = 8_000  # telephone; below, consonants are gone
    max_sample_rate_hz: int = 192_000  # the fastest of sound cards
    max_pictures: int = 4  # a picture can take thousands of prompt positions
    max_picture_bytes: int = 20_000_000  # a large photograph as PNG
    max_picture_pixels: int = 50_000_000  # the largest camera of a phone; decoded it takes 150 MB
    max_picture_side_px: int = 8_192  # layout "pad" makes a square of a thin picture
    max_text_characters: int = 100_000  # of text, system or one history turn; only to bound the tokenizer's work
    max_history_turns: int = 200  # likewise
    max_history_bytes: int = 1_000_000  # likewise, before the JSON is parsed
    max_tokens: int = 4_096  # the longest answer; the context length bounds it as well
    default_max_tokens: int = 1_024  # the reference server's own
    min_audio_out_ms: int = 40  # one speech unit
    max_audio_out_ms: int = 163_840  # 4096 units, the reference scripts' own bound
    default_audio_out_ms: int = 60_000  # a minute of speech: longer is rarely listened to
    max_temperature: float = 2.0  # above, the distribution is noise

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Limits:
        """Raises ValueError that names unknown keys."""
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown limits: {', '.join(sorted(unknown))}")
        return cls(**values)
