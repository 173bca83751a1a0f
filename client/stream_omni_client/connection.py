"""The gRPC connection: one stream per turn, and no way to wait for ever.

A process of the server that dies in the middle of a turn leaves its stream open and silent. So silence is watched here:
a thread per turn takes what arrives, and the caller waits for it with a limit.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from stream_omni_client.grpc_channel import (
    ENDING_S,
    LEAVING_S,
    OPTIONS,
    client_closed,
    configuration_request,
    failure_of,
    read_credentials,
    read_parameter,
    same_server,
)
from stream_omni_client.running_turn import RunningTurn
from stream_omni_client.settings import Settings
from stream_omni_client.wire import TurnRequest

Arrival: TypeAlias = tuple[service_pb2.ModelStreamInferResponse, float]
"""A response and the time of ``time.monotonic`` at which it arrived."""


class LeftError(Exception):
    """Nobody reads the turn any more: it, or the whole client, was closed."""


class Connection:
    """A channel to one server. Turns may share it, from several threads; it connects when first used.

    Raises OSError for a file of the settings' TLS that cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._is_closed = settings, False
        credentials = read_credentials(settings.tls)
        if credentials is None:
            self._channel = grpc.insecure_channel(settings.url, OPTIONS)
        else:
            self._channel = grpc.secure_channel(settings.url, credentials, OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._lines: set[_Line] = set()  # of turns that are not over, or still to be told as left

    def start(self, turn: RunningTurn) -> Call:
        """Send a turn on a stream of its own and close the sending side, so that the server can end the stream.

        Raises :class:`Cancelled` after :meth:`close`.
        """
        request = turn.request
        if self._is_closed:
            raise client_closed(request.request_id)
        messages, timeout_s = iter([request.message]), turn.begin_try()
        call = self._stub.ModelStreamInfer(messages, timeout=timeout_s, metadata=request.metadata)
        line = _Line(call, partial(self._say_departure, request), self._lines.discard)
        self._lines.add(line)
        # The thread must not hold the Call: dropping it is a way to leave the stream.
        name = f"turn-{request.request_id}"
        threading.Thread(target=line.receive, daemon=True, name=name).start()
        return Call(line)

    def model_parameter(self, name: str, timeout_s: float) -> Any:
        """A JSON parameter of the model's configuration. Raises :class:`StreamOmniError`."""
        if self._is_closed:
            raise client_closed(None)
        metadata = self._settings.metadata
        try:
            answer = self._stub.ModelConfig(configuration_request(), timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise failure_of(error, self._settings.url, None, timeout_s) from error
        return read_parameter(answer, name)

    def close(self) -> None:
        """Ends every turn that is still running."""
        self._is_closed = True
        running, deadline_s = list(self._lines), time.monotonic() + LEAVING_S
        for line in running:
            line.leave()
        for line in running:
            line.gone.wait(max(0.0, deadline_s - time.monotonic()))
        self._channel.close()

    def _say_departure(self, request: TurnRequest, server: tuple[tuple[str, str], ...]) -> None:
        metadata = (*request.metadata, *server)
        for _ in self._stub.ModelStreamInfer(iter([request.departure]), timeout=LEAVING_S, metadata=metadata):
            pass  # an older server has something to say of it


class Call:
    """The responses of one turn as they arrive, until the server ends the stream."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def read(self, patience_s: float) -> Arrival | None:
        """None: the server has ended the stream. Raises TimeoutError after ``patience_s``, grpc.RpcError, LeftError."""
        try:
            arrival = self._line.arrivals.get(timeout=patience_s)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(arrival, Exception):
            raise arrival
        return arrival

    def drain(self) -> None:
        """After the server's last word: wait for it to end the stream.

        Who leaves between the two can crash tritonserver 2.51 for everybody: 7 of 8 servers fell within 1500 turns that
        left at the last event, none of 8 when the end was waited for.
        """
        if not self._line.over.wait(ENDING_S):
            self._line.call.cancel()

    def leave(self) -> None:
        """End the turn on the server too. After the end of the stream this does nothing."""
        self._line.leave()


class _Line:
    """What a turn's thread, its caller and its connection share. ``say_departure`` is told the way to the server.

    Once it is :attr:`gone`, nothing of the turn is on the connection any more: neither its stream, nor the one that
    told the server that it was left.
    """

    def __init__(
        self,
        call: Any,
        say_departure: Callable[[tuple[tuple[str, str], ...]], None],
        when_gone: Callable[[_Line], None],
    ) -> None:
        self.call, self._say_departure, self._when_gone = call, say_departure, when_gone
        self.arrivals: queue.SimpleQueue[Arrival | Exception | None] = queue.SimpleQueue()
        self.over, self.gone = threading.Event(), threading.Event()
        self._is_ended = threading.Lock()  # by the server or by who leaves: the first of them holds it from then on
        self._server: tuple[tuple[str, str], ...] = ()

    def receive(self) -> None:
        try:
            for response in self.call:
                self._server = self._server or same_server(self.call.initial_metadata())
                self.arrivals.put((response, time.monotonic()))
            self.arrivals.put(None)
        except grpc.RpcError as error:
            self.arrivals.put(error)
        finally:
            self.over.set()
            if self._is_ended.acquire(blocking=False):
                self._go()

    def leave(self) -> None:
        """By a message that asks the server to end it. A cancel that meets the turn's end can crash tritonserver 2.51,
        so it comes only where the message did not help."""
        if sys.is_finalizing():  # its end ends the turn; gRPC's locks may be held by threads that run no more
            return
        if not self._is_ended.acquire(blocking=False):
            return
        self.arrivals.put(LeftError())  # whoever waits learns of it at once
        # No daemon: a program that ends now would break the connection.
        threading.Thread(target=self._leave, name="leaving-a-turn").start()

    def _leave(self) -> None:
        with suppress(grpc.RpcError, ValueError):  # the channel is closed, and the turn's stream with it
            self._say_departure(self._server)
        if not self.over.wait(LEAVING_S):
            self.call.cancel()
        self._go()

    def _go(self) -> None:
        self.gone.set()
        self._when_gone(self)
