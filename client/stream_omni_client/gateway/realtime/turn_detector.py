"""When somebody begins and ends to speak, of likelihoods of speech every 32 ms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.gateway.realtime.voice_activity import RATE_HZ, WINDOW_SAMPLES, VoiceActivity

_WINDOWS_OF_SPEECH = 2  # in a row make a beginning: a click of 32 ms must not interrupt an answer
_HYSTERESIS = 0.15  # below the threshold, as Silero's own iterator has it: a voice that sinks is no end
_SAMPLES_A_MS = RATE_HZ // 1000


@dataclass(frozen=True)
class TurnDetection:
    """OpenAI's ``server_vad``, with its defaults."""

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    create_response: bool = True
    interrupt_response: bool = True


@dataclass(frozen=True)
class SpeechStarted:
    """``at``: the sample of the session's input where the speech begins, padding not included."""

    at: int


@dataclass(frozen=True)
class SpeechStopped:
    """``at``: the sample up to which there was silence for long enough."""

    at: int


Change: TypeAlias = SpeechStarted | SpeechStopped


class TurnDetector:
    """Hears a session's input, 16 kHz, from sample ``position`` on. ``settings`` may be exchanged at any time."""

    def __init__(self, activity: VoiceActivity, settings: TurnDetection, position: int) -> None:
        self.settings = settings
        self._activity = activity
        self._position = position  # of the first sample that is not in a whole window yet
        self._left = np.zeros(0, np.int16)
        self._in_a_row = 0
        self._silent_since: int | None = None
        self.is_speech = False

    def feed(self, samples: NDArray[np.int16]) -> Iterator[Change | None]:
        """What changes, in order, and None for each window in which nothing does (a breath for who must share a
        processor)."""
        self._left = np.concatenate([self._left, samples])
        while len(self._left) >= WINDOW_SAMPLES:
            window, self._left = self._left[:WINDOW_SAMPLES], self._left[WINDOW_SAMPLES:]
            begin, self._position = self._position, self._position + WINDOW_SAMPLES
            yield self._hear(self._activity(window.astype(np.float32) / 32768), begin)

    def forget(self) -> None:
        """What was said until now belongs to no turn that is still open."""
        self.is_speech, self._in_a_row, self._silent_since = False, 0, None

    def _hear(self, likelihood: float, begin: int) -> Change | None:
        if not self.is_speech:
            self._in_a_row = self._in_a_row + 1 if likelihood >= self.settings.threshold else 0
            if self._in_a_row < _WINDOWS_OF_SPEECH:
                return None
            self.is_speech, self._in_a_row, self._silent_since = True, 0, None
            return SpeechStarted(begin - (_WINDOWS_OF_SPEECH - 1) * WINDOW_SAMPLES)
        if likelihood >= self.settings.threshold:
            self._silent_since = None
        elif self._silent_since is None and likelihood < self.settings.threshold - _HYSTERESIS:
            self._silent_since = begin
        end = begin + WINDOW_SAMPLES
        if self._silent_since is None or end - self._silent_since < self.settings.silence_duration_ms * _SAMPLES_A_MS:
            return None
        self.is_speech, self._silent_since = False, None
        return SpeechStopped(end)
