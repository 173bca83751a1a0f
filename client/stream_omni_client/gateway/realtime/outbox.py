"""The events that leave for the client, in the order in which they were put."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from stream_omni_client.gateway.realtime.items import new_id
from stream_omni_client.gateway.realtime.limits import RealtimeLimits


class Outbox:
    """Putting never waits, so that the session changes in steps that nothing interrupts; a client that does not fetch
    makes its own answer wait (:meth:`room`), and is given up in the end."""

    def __init__(self, send: Callable[[str], Awaitable[None]], limits: RealtimeLimits) -> None:
        self._send, self._limits = send, limits
        self._unsent: deque[str] = deque()
        self._unsent_bytes = 0
        self._is_filled, self._has_room = asyncio.Event(), asyncio.Event()
        self._has_room.set()

    def put(self, kind: str, **fields: Any) -> None:
        """``kind``: the event's type. Fields must be JSON."""
        event = json.dumps({"type": kind, "event_id": new_id("event"), **fields}, ensure_ascii=False)
        self._unsent.append(event)
        self._unsent_bytes += len(event)
        self._is_filled.set()
        if self._unsent_bytes > self._limits.max_unsent_bytes:
            self._has_room.clear()

    async def room(self) -> None:
        """Until the client has fetched enough for more to be made."""
        await self._has_room.wait()

    async def run(self) -> None:
        """Send for ever. Raises TimeoutError for a client that does not fetch, and what sending raises."""
        while True:
            await self._is_filled.wait()
            await self._send_first()

    async def flush(self) -> None:
        """Send what is there, once :meth:`run` has been stopped."""
        while self._unsent:
            await self._send_first()

    async def _send_first(self) -> None:
        event = self._unsent.popleft()
        if not self._unsent:
            self._is_filled.clear()
        await asyncio.wait_for(self._send(event), self._limits.send_timeout_s)
        self._unsent_bytes -= len(event)
        if self._unsent_bytes <= self._limits.max_unsent_bytes:
            self._has_room.set()
