"""The asynchronous twin of :mod:`stream_omni_client.connection`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from stream_omni_client.connection import Arrival
from stream_omni_client.grpc_channel import (
    ENDING_S,
    OPTIONS,
    client_closed,
    configuration_request,
    failure_of,
    read_parameter,
)
from stream_omni_client.running_turn import RunningTurn
from stream_omni_client.settings import Settings


class AsyncConnection:
    """A channel to one server, of the event loop that runs. Turns may share it; it connects when first used."""

    def __init__(self, settings: Settings, credentials: grpc.ChannelCredentials | None) -> None:
        self._settings, self._is_closed = settings, False
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(settings.url, OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(settings.url, credentials, OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def start(self, turn: RunningTurn) -> AsyncCall:
        """Send a turn on a stream of its own and close the sending side, so that the server can end the stream.

        Raises :class:`Cancelled` after :meth:`close`.
        """
        request = turn.request
        if self._is_closed:
            raise client_closed(request.request_id)
        messages, timeout_s = iter([request.message]), turn.begin_try()
        return AsyncCall(self._stub.ModelStreamInfer(messages, timeout=timeout_s, metadata=request.metadata))

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
        await self._channel.close()


class AsyncCall:
    """The responses of one turn, until the server ends the stream."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()

    async def read(self, patience_s: float) -> Arrival | None:
        """None: the server has ended the stream. Raises TimeoutError after ``patience_s``, grpc.RpcError, and
        CancelledError where the task or the call was cancelled."""
        async with asyncio.timeout(patience_s):
            response = await self._call.read()
        return None if response is grpc.aio.EOF else (response, time.monotonic())

    async def drain(self) -> None:
        """After the server's last word: wait for it to end the stream, for the reason that the twin gives.

        The task's cancellation ends the waiting only.
        """
        reading = asyncio.create_task(self._read_to_end())
        _endings.add(reading)
        reading.add_done_callback(_endings.discard)
        await asyncio.wait({reading})

    def cancel(self) -> None:
        """End the turn on the server too, from any thread. After the end of the stream this does nothing."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the call with it
            self._loop.call_soon_threadsafe(self._call.cancel)

    async def _read_to_end(self) -> None:
        with contextlib.suppress(TimeoutError, grpc.RpcError, asyncio.CancelledError):  # the turn is over in any case
            async with asyncio.timeout(ENDING_S):
                while await self._call.read() is not grpc.aio.EOF:
                    pass


_endings: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks weakly
