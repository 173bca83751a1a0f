"""The loudspeaker of this machine, for speech as it comes: without gaps, and with a clock that tells what was heard."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.audio import Audio
from stream_omni_client.events import AudioDelta
from stream_omni_client.sound_device import device_errors, load_sounddevice

_STALLED_S = 2.0  # a device that takes nothing for so long is broken


class PlayBuffer:
    """Samples that wait to be played, first come, first played. One thread puts, another takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = np.zeros(0, np.int16)
        self.played = 0

    def put(self, samples: NDArray[np.int16]) -> None:
        with self._lock:
            self._waiting = np.concatenate([self._waiting, samples])

    def take(self, count: int) -> NDArray[np.int16]:
        """int16 [count]: silence where nothing waits, which does not count as played."""
        with self._lock:
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
            self.played += len(taken)
        return np.pad(taken, (0, count - len(taken)))

    def clear(self) -> int:
        """Forget what waits, and count from zero. Returns what was played."""
        with self._lock:
            played, self.played = self.played, 0
            self._waiting = np.zeros(0, np.int16)
        return played

    def __len__(self) -> int:
        return len(self._waiting)


class Speaker:
    """Plays pieces of speech one after the other; use it with ``with``. Needs the extra ``play``.

    Raises ModuleNotFoundError without the extra, OSError where there is no sound device.
    """

    def __init__(self) -> None:
        self._sounddevice = load_sounddevice()
        self._buffer = PlayBuffer()
        self._stream: Any = None

    def __enter__(self) -> Speaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def played_ms(self) -> float:
        """How much has left the loudspeaker since the beginning or the last :meth:`stop`."""
        return self._milliseconds(self._buffer.played)

    def play(self, piece: Audio | AudioDelta) -> None:
        """Play it after what waits already; does not wait for that."""
        if self._stream is None:
            self._stream = self._open(piece.sample_rate_hz)
        self._buffer.put(piece.samples)

    def wait(self) -> None:
        """Until everything has been played. Raises OSError where the device takes nothing any more."""
        left, since = len(self._buffer), time.monotonic()
        while left:
            time.sleep(0.02)
            if len(self._buffer) != left:
                left, since = len(self._buffer), time.monotonic()
            elif time.monotonic() - since > _STALLED_S:
                raise OSError("the loudspeaker has stopped taking sound")
        if self._stream is not None:
            time.sleep(self._stream.latency)

    def stop(self) -> float:
        """Silence, at once. Returns how many ms were heard, and counts from zero again."""
        return self._milliseconds(self._buffer.clear())

    def close(self) -> None:
        """Silence, and give the device back."""
        self._buffer.clear()
        if self._stream is not None:
            self._stream.close()

    def _open(self, sample_rate_hz: int) -> Any:
        def fill(out: NDArray[np.int16], count: int, *_: Any) -> None:
            out[:, 0] = self._buffer.take(count)

        with device_errors(self._sounddevice, "the loudspeaker"):
            stream = self._sounddevice.OutputStream(sample_rate_hz, channels=1, dtype="int16", callback=fill)
            stream.start()
        return stream

    def _milliseconds(self, samples: int) -> float:
        if self._stream is None:
            return 0.0
        return max(0.0, 1000 * (samples / float(self._stream.samplerate) - float(self._stream.latency)))
