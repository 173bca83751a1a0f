"""The asynchronous twin of :mod:`stream_omni_client.connection`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from stream_omni_client.connection import Arrival, LeftError
from stream_omni_client.grpc_channel import (
    ENDING_S,
    LEAVING_S,
    OPTIONS,
    client_closed,
    configuration_request,
    failure_of,
    read_parameter,
    same_server,
)
from stream_omni_client.running_turn import RunningTurn
from stream_omni_client.settings import Settings
from stream_omni_client.wire import TurnRequest

_AHEAD = 4  # responses
_tasks: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks weakly


class AsyncConnection:
    """A channel to one server, of the event loop that runs. Turns may share it; it connects when first used."""

    def __init__(self, settings: Settings, credentials: grpc.ChannelCredentials | None) -> None:
        self._settings, self._is_closed = settings, False
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(settings.url, OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(settings.url, credentials, OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._lines: set[_Line] = set()  # of turns that are not over, or still to be told as left

    def start(self, turn: RunningTurn) -> AsyncCall:
        """Send a turn on a stream of its own and close the sending side, so that the server can end the stream.

        Raises :class:`Cancelled` after :meth:`close`.
        """
        request = turn.request
        if self._is_closed:
            raise client_closed(request.request_id)
        messages, timeout_s = iter([request.message]), turn.begin_try()
        call = self._stub.ModelStreamInfer(messages, timeout=timeout_s, metadata=request.metadata)
        line = _Line(call, partial(self._say_departure, request))
        self._lines.add(line)
        line.gone.add_done_callback(lambda _: self._lines.discard(line))
        return AsyncCall(line)

    async def model_parameter(self, name: str, timeout_s: float) -> Any:
        """A JSON parameter of the model's configuration. Raises :class:`StreamOmniError`."""
        if self._is_closed:
            raise client_closed(None)
        metadata = self._settings.metadata
        try:
            answer = await self._stub.ModelConfig(configuration_request(), timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise failure_of(error, self._settings.url, None, timeout_s) from error
        return read_parameter(answer, name)

    async def close(self) -> None:
        """Ends every turn that is still running."""
        self._is_closed = True
        running = list(self._lines)
        for line in running:
            line.leave()
        if running:
            await asyncio.wait({line.gone for line in running}, timeout=LEAVING_S)
        await self._channel.close()

    async def _say_departure(self, request: TurnRequest, server: tuple[tuple[str, str], ...]) -> None:
        metadata = (*request.metadata, *server)
        async for _ in self._stub.ModelStreamInfer(iter([request.departure]), timeout=LEAVING_S, metadata=metadata):
            pass  # an older server has something to say of it


class AsyncCall:
    """The responses of one turn, until the server ends the stream."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._loop = asyncio.get_running_loop()

    async def read(self, patience_s: float) -> Arrival | None:
        """None: the server has ended the stream. Raises TimeoutError after ``patience_s``, grpc.RpcError, LeftError."""
        async with asyncio.timeout(patience_s):
            arrival = await self._line.arrivals.get()
        if isinstance(arrival, Exception):
            raise arrival
        return arrival

    async def drain(self) -> None:
        """After the server's last word: wait for it to end the stream, for the reason that the twin gives.

        The task's cancellation ends the waiting only.
        """
        await asyncio.wait({self._line.over}, timeout=ENDING_S)
        self._line.call.cancel()  # which does nothing to one that is over

    def leave(self) -> None:
        """End the turn on the server too, from any thread. After the end of the stream this does nothing."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the call with it
            self._loop.call_soon_threadsafe(self._line.leave)


class _Line:
    """What a turn's tasks and its caller share. :attr:`gone` is what the twin's is."""

    def __init__(self, call: Any, say_departure: Callable[[tuple[tuple[str, str], ...]], Awaitable[None]]) -> None:
        self.call, self._say_departure = call, say_departure
        # Few wait here, the others on the way: who reads slowly need not hold the whole answer.
        self.arrivals: asyncio.Queue[Arrival | Exception | None] = asyncio.Queue(_AHEAD)
        self._is_left = False
        self._server: tuple[tuple[str, str], ...] = ()
        # Not the caller's task: one that is cancelled while it reads from gRPC cancels the call.
        self.over = asyncio.create_task(self._receive())
        _tasks.add(self.over)
        self.over.add_done_callback(_tasks.discard)
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over.add_done_callback(lambda _: None if self._is_left else self.gone.set_result(None))

    def leave(self) -> None:
        """As the twin's."""
        if self.over.done() or self._is_left:
            return
        self._is_left = True
        while not self.arrivals.empty():
            self.arrivals.get_nowait()
        self.arrivals.put_nowait(LeftError())  # whoever waits learns of it at once
        leaving = asyncio.create_task(self._leave())
        _tasks.add(leaving)
        leaving.add_done_callback(_tasks.discard)
        leaving.add_done_callback(lambda _: self.gone.set_result(None))

    async def _receive(self) -> None:
        last: Exception | None = None
        try:
            while (response := await self.call.read()) is not grpc.aio.EOF:
                self._server = self._server or same_server(await self.call.initial_metadata())
                await self._put((response, time.monotonic()))
        except grpc.RpcError as error:
            last = error
        await self._put(last)

    async def _put(self, arrival: Arrival | Exception | None) -> None:
        if not self._is_left:
            await self.arrivals.put(arrival)

    async def _leave(self) -> None:
        with contextlib.suppress(grpc.RpcError, asyncio.CancelledError):
            await self._say_departure(self._server)
        await asyncio.wait({self.over}, timeout=LEAVING_S)
        self.call.cancel()
