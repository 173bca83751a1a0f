"""The asynchronous twin of :mod:`stream_omni_client.stream`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

import grpc

from stream_omni_client.async_connection import AsyncConnection
from stream_omni_client.connection import Arrival, LeftError
from stream_omni_client.errors import Cancelled, StreamOmniError
from stream_omni_client.events import AudioDelta, Event
from stream_omni_client.reply import Reply
from stream_omni_client.running_turn import RunningTurn
from stream_omni_client.stream import Piece


class AsyncStream(AsyncIterator[Event]):
    """The events of one turn, in order, ending with :class:`Done`; every other end raises a :class:`StreamOmniError`.

    Use it with ``async with``: leaving the block early, and the cancellation of the task in it, cancels the turn on the
    server. :attr:`reply` fills as events come. Who wants one kind only iterates over :attr:`transcript`, :attr:`text`
    or :attr:`audio` instead; each of them begins at the turn's beginning, whatever has been read before.
    """

    def __init__(self, connection: AsyncConnection, turn: RunningTurn) -> None:
        self._turn, self._connection = turn, connection
        self._left = asyncio.Event()
        self._call = connection.start(turn)

    @property
    def request_id(self) -> str:
        """Names the turn in the server's logs."""
        return self._turn.request.request_id

    @property
    def reply(self) -> Reply:
        """What the turn has brought so far."""
        return self._turn.reply

    @property
    def is_over(self) -> bool:
        """Whether no event is to come any more."""
        return self._turn.is_over

    @property
    def transcript(self) -> AsyncIterator[str]:
        """The pieces of what the user said; it ends when the answer begins."""
        reply = self.reply
        return self._pieces(reply.transcript_deltas, until=(reply.text_deltas, reply.audio_deltas))

    @property
    def text(self) -> AsyncIterator[str]:
        """The pieces of the answer's text."""
        return self._pieces(self.reply.text_deltas)

    @property
    def audio(self) -> AsyncIterator[AudioDelta]:
        """The pieces of the answer's speech."""
        return self._pieces(self.reply.audio_deltas)

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
        except BaseException as error:
            self._leave()
            if isinstance(error, Cancelled) and self.reply.heard_ms is not None:
                raise StopAsyncIteration from None  # the listener has heard enough
            raise

    async def finish(self) -> Reply:
        """Wait for the rest, and return the whole."""
        async with self:
            async for _ in self:
                pass
            return self.reply

    async def close(self) -> None:
        """Cancel the turn if it is not over. May be called twice, and while another task waits for an event."""
        self._leave()

    def _leave(self) -> None:
        if not self._turn.is_over:
            self._turn.is_left = True
            self._left.set()
            self._call.leave()

    async def _receive(self) -> Event:
        while True:
            try:
                return await self._receive_once()
            except StreamOmniError as error:
                pause_s = self._turn.plan_retry(error)
                if pause_s is None:
                    raise
            await self._pause(pause_s)
            self._call = self._connection.start(self._turn)

    async def _receive_once(self) -> Event:
        arrival = await self._read()
        if arrival is None:
            raise self._turn.ended()
        try:
            return self._turn.take(*arrival)
        finally:
            if self._turn.has_last:
                await self._call.drain()

    async def _read(self) -> Arrival | None:
        try:
            return await self._call.read(self._turn.patience_s)
        except TimeoutError:
            raise self._turn.silence() from None
        except LeftError:
            raise self._turn.cancelled() from None
        except grpc.RpcError as error:
            raise self._turn.failure(error) from error

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._left.wait()
        except TimeoutError:
            return
        raise self._turn.cancelled()

    async def _pieces(
        self, pieces: list[Piece], until: tuple[list[str], list[AudioDelta]] = ([], [])
    ) -> AsyncIterator[Piece]:
        seen = 0
        while True:
            while seen < len(pieces):
                seen += 1
                yield pieces[seen - 1]
            if any(until) or await anext(self, None) is None:
                return
