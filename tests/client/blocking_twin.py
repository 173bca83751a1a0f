"""The asynchronous client, driven as its twin is, so that the same tests hold for both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from stream_omni_client import AsyncConversation, AsyncStreamOmni, Event
from stream_omni_client.async_stream import AsyncStream

_BOUND_S = 60.0  # of the tests; the client's own limits are shorter


class BlockingTwin:
    """Takes the calls of :class:`StreamOmni`; an event loop of its own makes them of :class:`AsyncStreamOmni`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._client = AsyncStreamOmni(*arguments, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> BlockingTwin:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.run(self._client.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_BOUND_S)
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        return blocking(self.run, getattr(self._client, name))

    def run(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        async def call() -> Any:
            result = method(*arguments, **options)
            return await result if inspect.isawaitable(result) else result

        result = asyncio.run_coroutine_threadsafe(call(), self._loop).result(_BOUND_S)
        if isinstance(result, AsyncStream):
            return BlockingStream(self.run, result)
        return Blocking(self.run, result) if isinstance(result, AsyncConversation) else result


def blocking(run: Callable[..., Any], member: Any) -> Any:
    """What is a method, run in the event loop."""
    return (lambda *arguments, **options: run(member, *arguments, **options)) if callable(member) else member


class Blocking:
    """A conversation or a stream."""

    def __init__(self, run: Callable[..., Any], target: Any) -> None:
        self.run, self.target = run, target

    def __enter__(self) -> Any:
        self.run(self.target.__aenter__)
        return self

    def __exit__(self, *error: Any) -> None:
        self.run(self.target.__aexit__, *error)

    def __getattr__(self, name: str) -> Any:
        return blocking(self.run, getattr(self.target, name))


class BlockingStream(Blocking, Iterator[Event]):
    def __next__(self) -> Event:
        try:
            event: Event = self.run(self.target.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None
        return event
