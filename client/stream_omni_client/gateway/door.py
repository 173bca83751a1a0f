"""Who is let in, and how many requests at once: of each key's holder, and of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stream_omni_client.gateway.api_errors import ApiError
from stream_omni_client.gateway.api_keys import EVERYBODY, ApiKeys, Holder
from stream_omni_client.gateway.settings import Settings

_RETRY_S = 1.0  # about a short answer's time


class Door:
    """Lives on one event loop."""

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self._keys = None if settings.api_keys is None else ApiKeys(settings.api_keys)
        self._limits = limits
        self._house = Room(limits.max_requests, 0, 0.0)
        self._rooms: dict[Holder, Room] = {}  # one more where the file of keys changes a quota

    def let_in(self, authorization: str | None) -> Holder:
        """Whose key an ``authorization`` header's value holds. Raises ApiError (401)."""
        if self._keys is None:
            return EVERYBODY
        scheme, _, key = (authorization or "").partition(" ")
        if not key.strip() or scheme.lower() != "bearer":
            raise _refusal("You didn't provide an API key; send the header authorization: Bearer KEY.")
        holder = self._keys.holder(key.strip())
        if holder is None:
            raise _refusal("Incorrect API key provided; check it, or ask for another one.")
        return holder

    @asynccontextmanager
    async def place(self, holder: Holder) -> AsyncIterator[None]:
        """A place of the holder's and one of all, for the time of a turn. Raises ApiError (429)."""
        if holder.turns is not None and holder not in self._rooms:
            self._rooms[holder] = Room(holder.turns, holder.waiting, self._limits.quota_wait_s)
        own = self._rooms.get(holder)
        if own is not None and not await own.enter():
            quota = f"the key {holder.name} may have {holder.turns} turns at once and {holder.waiting} waiting"
            raise _too_many(f"{quota}; come again later", "rate_limit_exceeded")
        try:
            if not await self._house.enter():
                all_taken = f"the gateway takes {self._limits.max_requests} requests at once; come again later"
                raise _too_many(all_taken, "server_overloaded")
            try:
                yield
            finally:
                self._house.leave()
        finally:
            if own is not None:
                own.leave()


class Room:
    """``places`` at once; ``waiting`` more wait, each for at most ``wait_s``."""

    def __init__(self, places: int, waiting: int, wait_s: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._waiting, self._wait_s = waiting, wait_s

    async def enter(self) -> bool:
        """Whether a place was to be had; then :meth:`leave` is owed."""
        if not self._places.locked():
            return await self._places.acquire()
        if not self._waiting:
            return False
        self._waiting -= 1
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._places.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting += 1

    def leave(self) -> None:
        self._places.release()


def _refusal(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key")


def _too_many(message: str, code: str) -> ApiError:
    return ApiError(429, message, kind="rate_limit_error", code=code, retry_after_s=_RETRY_S)
