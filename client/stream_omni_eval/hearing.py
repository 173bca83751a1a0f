"""What the judge hears in speech, and how much of it is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from stream_omni_client.audio import read_audio

from stream_omni_eval.words import word_error_rate, words_of

LONGEST_S = 30.0  # that the judge hears
_SAY_EVERY_S = 10.0


class Ear(Protocol):
    def transcribe(self, samples: NDArray[np.float32], rate_hz: int) -> str: ...


class Hearing:
    """Hears equal sounds once, and says now and then how many it has heard."""

    def __init__(self, ear: Ear, say: Callable[[str], None]) -> None:
        self._ear, self._say = ear, say
        self._heard: dict[bytes, str] = {}
        self._said_s = time.monotonic()

    def of(self, samples: NDArray[np.int16], rate_hz: int) -> str:
        """Of [N] samples; what is longer than the judge hears is cut."""
        key = samples.tobytes()
        if key not in self._heard:
            whole = samples[: int(LONGEST_S * rate_hz)].astype(np.float32) / 32768
            self._heard[key] = self._ear.transcribe(whole, rate_hz) if len(whole) else ""
            if time.monotonic() - self._said_s > _SAY_EVERY_S:
                self._said_s = time.monotonic()
                self._say(f"  {len(self._heard)} answers heard")
        return self._heard[key]

    def of_file(self, path: Path) -> str:
        samples, rate_hz = read_audio(path)
        return self._ear.transcribe(samples[: int(LONGEST_S * rate_hz)], rate_hz)


def error_rate(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Of (what was meant, what was heard or written): over all words, those without any word left out."""
    known = [(meant, heard) for meant, heard in pairs if words_of(meant)]
    rate = word_error_rate(*map(list, zip(*known, strict=True))) if known else None
    return {"texts": len(known), "words": sum(len(words_of(meant)) for meant, _ in known), "wer": rate}


def share(values: Sequence[bool | None]) -> dict[str, Any]:
    """Of those that are known, how many are true."""
    known = [value for value in values if value is not None]
    return {"known": len(known), "right": sum(known), "share": sum(known) / len(known) if known else None}
