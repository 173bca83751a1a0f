"""Whether the server behind answers, by a real turn: Triton's own word is not enough. One turn answers all who ask."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from stream_omni_client.async_client import AsyncStreamOmni
from stream_omni_client.errors import Overloaded, StreamOmniError
from stream_omni_client.gateway.api_errors import api_error_of
from stream_omni_client.gateway.settings import Settings


@dataclass(frozen=True)
class Finding:
    """``status``: ``ok``, ``busy`` (the server refuses turns for now, so it lives) or ``unavailable``."""

    status: str
    reason: str | None
    at_s: float  # of time.monotonic

    @property
    def is_ready(self) -> bool:
        return self.status != "unavailable"


class Readiness:
    """Lives on one event loop."""

    def __init__(self, omni: AsyncStreamOmni, settings: Settings) -> None:
        self._omni, self._holds_s, self._timeout_s = omni, settings.ready_for_s, settings.ready_timeout_s
        self._finding: Finding | None = None
        self._looking = asyncio.Lock()

    async def find(self) -> Finding:
        """What was found last, or is found now where that is too old."""
        async with self._looking:
            if self._finding is None or time.monotonic() - self._finding.at_s > self._holds_s:
                self._finding = await self._look()
            return self._finding

    async def _look(self) -> Finding:
        try:
            await self._omni.chat("Hi", max_tokens=1, timeout_s=self._timeout_s)
        except StreamOmniError as error:
            is_busy = isinstance(error, Overloaded) and error.reason != "DRAINING"
            return Finding("busy" if is_busy else "unavailable", api_error_of(error).code, time.monotonic())
        return Finding("ok", None, time.monotonic())
