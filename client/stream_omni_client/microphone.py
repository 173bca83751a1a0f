"""The microphone of this machine."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.sound_device import device_errors, load_sounddevice


class Microphone:
    """Records from the ``with`` block's beginning; ``recording`` is what was said. Needs the extra ``microphone``.

    Keeps the first ``longest_s`` seconds. Raises ModuleNotFoundError without the extra, OSError where there is no sound
    device.
    """

    def __init__(self, longest_s: float = 30.0) -> None:
        self._sounddevice = load_sounddevice()
        self._longest_s = longest_s
        self._blocks: list[NDArray[np.float32]] = []
        self._kept = 0
        with device_errors(self._sounddevice, "the microphone"):  # at its own rate: the server resamples well
            self._rate_hz: int = round(self._sounddevice.query_devices(kind="input")["default_samplerate"])
            self._stream = self._sounddevice.InputStream(
                self._rate_hz, channels=1, dtype="float32", callback=self._keep
            )

    def __enter__(self) -> Microphone:
        with device_errors(self._sounddevice, "the microphone"):
            self._stream.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def recording(self) -> tuple[NDArray[np.float32], int]:
        """float32 [N] in -1..1, and the rate in Hz: what ``audio=`` takes."""
        samples = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.float32)
        return samples[: round(self._longest_s * self._rate_hz)], self._rate_hz

    @property
    def is_full(self) -> bool:
        """Whether more would not be kept."""
        return self._kept >= self._longest_s * self._rate_hz

    def _keep(self, block: NDArray[np.float32], *_: Any) -> None:
        if not self.is_full:
            self._blocks.append(block[:, 0].copy())
            self._kept += len(block)
