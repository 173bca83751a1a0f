"""A session's ear: what the client appends, as sound at 16 kHz, and when in it somebody speaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.gateway.realtime.audio_formats import AudioFormat
from stream_omni_client.gateway.realtime.input_buffer import InputBuffer
from stream_omni_client.gateway.realtime.turn_detector import (
    Change,
    SpeechStarted,
    TurnDetection,
    TurnDetector,
)
from stream_omni_client.gateway.realtime.voice_activity import (
    RATE_HZ,
    WINDOW_SAMPLES,
    SileroVoiceActivity,
    VoiceActivities,
)
from stream_omni_client.gateway.resampling import Resampler

_WINDOWS_A_BREATH = 16  # half a second of sound, some milliseconds of work, before other sessions have their turn
_SAMPLES_A_MS = RATE_HZ // 1000


class Listener:
    """``detection`` None: nothing is detected, and everything is kept until the client commits it."""

    def __init__(self, activities: VoiceActivities, sound_format: AudioFormat, detection: TurnDetection | None) -> None:
        self.buffer = InputBuffer()
        self._activities, self._detection = activities, detection
        self._format = sound_format
        self._resampler = Resampler(sound_format.rate_hz, RATE_HZ)
        self._network: SileroVoiceActivity | None = None
        self._detector: TurnDetector | None = None

    @property
    def is_speech(self) -> bool:
        return self._detector is not None and self._detector.is_speech

    def set_up(self, sound_format: AudioFormat, detection: TurnDetection | None) -> None:
        """From the next sample on."""
        if sound_format is not self._format:
            self._format, self._resampler = sound_format, Resampler(sound_format.rate_hz, RATE_HZ)
        self._detection = detection
        if detection is None:
            self._detector = None
        elif self._detector is not None:
            self._detector.settings = detection

    def decode(self, content: bytes) -> NDArray[np.int16]:
        """What ``content`` adds to the sound at 16 kHz."""
        return self._resampler.add(self._format.decode(content))

    async def hear(self, samples: NDArray[np.int16]) -> AsyncIterator[Change]:
        """Keep them, and find where somebody begins or ends to speak."""
        begin = self.buffer.end
        self.buffer.append(samples)
        if self._detection is None:
            return
        if self._network is None:
            self._network = await self._activities.lend()
        if self._detector is None:
            self._detector = TurnDetector(self._network, self._detection, begin)
        for count, change in enumerate(self._detector.feed(samples), start=1):
            if change is not None:
                if isinstance(change, SpeechStarted):
                    padding = self._detection.prefix_padding_ms * _SAMPLES_A_MS
                    self.buffer.drop_before(change.at - padding)
                yield change
            if count % _WINDOWS_A_BREATH == 0:
                await asyncio.sleep(0)
        if not self._detector.is_speech:
            padding = self._detection.prefix_padding_ms * _SAMPLES_A_MS
            self.buffer.drop_before(self.buffer.end - padding - 3 * WINDOW_SAMPLES)  # a beginning is told two late

    def take(self, end: int | None = None) -> NDArray[np.int16]:
        """Remove and return what is kept, up to the sample ``end`` of the session."""
        if end is None and self._detector is not None:
            self._detector.forget()
        return self.buffer.take(self.buffer.end if end is None else end)

    def close(self) -> None:
        if self._network is not None:
            self._activities.take_back(self._network)
            self._network = None


def milliseconds(samples: int) -> int:
    return samples * 1000 // RATE_HZ
