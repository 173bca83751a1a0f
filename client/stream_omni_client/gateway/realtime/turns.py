"""The turns that a session asks of the server, each in a place that its key's quota has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy import int16
from numpy.typing import NDArray

from stream_omni_client.gateway.realtime.voice_activity import RATE_HZ

if TYPE_CHECKING:
    from stream_omni_client import AsyncStreamOmni
    from stream_omni_client.async_stream import AsyncStream


@dataclass(frozen=True)
class Turns:
    """``place`` raises ApiError where there is none to be had."""

    omni: AsyncStreamOmni
    place: Callable[[], AbstractAsyncContextManager[None]]
    timeout_s: float

    @asynccontextmanager
    async def answer(
        self, text: str | None, samples: NDArray[int16] | None, **arguments: Any
    ) -> AsyncIterator[AsyncStream]:
        """``arguments``: as those of :meth:`AsyncStreamOmni.stream`; ``samples`` are at 16 kHz."""
        sound = None if samples is None else (samples, RATE_HZ)
        async with (
            self.place(),
            self.omni.stream(text, audio=sound, timeout_s=self.timeout_s, **arguments) as stream,
        ):
            yield stream

    @asynccontextmanager
    async def transcript(self, samples: NDArray[int16]) -> AsyncIterator[AsyncStream]:
        async with (
            self.place(),
            self.omni.stream_transcript((samples, RATE_HZ), timeout_s=self.timeout_s) as stream,
        ):
            yield stream
