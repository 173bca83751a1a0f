"""The asynchronous twin of :mod:`stream_omni_client.stream`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

import grpc

from stream_omni_client.async_connection import AsyncConnection
from stream_omni_client.connection import Arrival
from stream_omni_client.events import Event
from stream_omni_client.reply import Reply
from stream_omni_client.running_turn import RunningTurn


class AsyncStream(AsyncIterator[Event]):
    """The events of one turn, in order, ending with :class:`Done`; every other end raises a :class:`StreamOmniError`.

    Use it with ``async with``: leaving the block early, and the cancellation of the task in it, cancels the turn on the
    server. :attr:`reply` fills as events come.
    """

    def __init__(self, connection: AsyncConnection, turn: RunningTurn) -> None:
        self._turn = turn
        self._call = connection.start(turn)

    @property
    def request_id(self) -> str:
        """Names the turn in the server's logs."""
        return self._turn.request.request_id

    @property
    def reply(self) -> Reply:
        """What the turn has brought so far."""
        return self._turn.reply

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if hasattr(self, "_call"):
            self._leave()  # `async for event in client.stream(...): break` leaves early too

    async def __anext__(self) -> Event:
        if self._turn.is_over:
            raise StopAsyncIteration
        try:
            return await self._receive()
        except BaseException:
            self._leave()
            raise

    async def close(self) -> None:
        """Cancel the turn if it is not over. May be called twice, and while another task waits for an event."""
        self._leave()

    def _leave(self) -> None:
        if not self._turn.is_over:
            self._turn.is_over = True
            self._call.cancel()

    async def _receive(self) -> Event:
        arrival = await self._read()
        if arrival is None:
            raise self._turn.ended()
        try:
            return self._turn.take(*arrival)
        finally:
            if self._turn.is_over:
                await self._call.drain()

    async def _read(self) -> Arrival | None:
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        try:
            return await self._call.read(self._turn.patience_s)
        except TimeoutError:
            raise self._turn.silence() from None
        except grpc.RpcError as error:
            raise self._turn.failure(error) from error
        except asyncio.CancelledError:
            if task and task.cancelling() > cancels:
                raise  # the task was; and if it was not, the call
            raise self._turn.cancelled() from None
