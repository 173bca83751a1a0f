"""The gRPC connection: one stream per turn, and no way to wait for ever.

A process of the server that dies in the middle of a turn leaves its stream open and silent. So silence is watched here:
a thread per turn takes what arrives, and the caller waits for it with a limit.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Any, TypeAlias

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from stream_omni_client.grpc_channel import (
    ENDING_S,
    OPTIONS,
    client_closed,
    configuration_request,
    failure_of,
    read_credentials,
    read_parameter,
)
from stream_omni_client.running_turn import RunningTurn
from stream_omni_client.settings import Settings

Arrival: TypeAlias = tuple[service_pb2.ModelStreamInferResponse, float]
"""A response and the time of ``time.monotonic`` at which it arrived."""


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

    def start(self, turn: RunningTurn) -> Call:
        """Send a turn on a stream of its own and close the sending side, so that the server can end the stream.

        Raises :class:`Cancelled` after :meth:`close`.
        """
        request = turn.request
        if self._is_closed:
            raise client_closed(request.request_id)
        messages, timeout_s = iter([request.message]), turn.begin_try()
        call = self._stub.ModelStreamInfer(messages, timeout=timeout_s, metadata=request.metadata)
        return Call(call, request.request_id)

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
        self._channel.close()


class Call:
    """The responses of one turn as they arrive, until the server ends the stream."""

    def __init__(self, call: Any, request_id: str) -> None:
        self._call = call
        self._arrivals: queue.SimpleQueue[Arrival | grpc.RpcError | None] = queue.SimpleQueue()
        # The thread must not hold this object: dropping it is a way to leave the stream.
        threading.Thread(target=_receive, args=(call, self._arrivals), daemon=True, name=f"turn-{request_id}").start()

    def read(self, patience_s: float) -> Arrival | None:
        """None: the server has ended the stream. Raises TimeoutError after ``patience_s``, grpc.RpcError."""
        try:
            arrival = self._arrivals.get(timeout=patience_s)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(arrival, grpc.RpcError):
            raise arrival
        return arrival

    def drain(self) -> None:
        """After the server's last word: wait for it to end the stream.

        Who leaves between the two can crash tritonserver 2.51 for everybody: 7 of 8 servers fell within 1500 turns that
        left at the last event, none of 8 when the end was waited for.
        """
        deadline = time.monotonic() + ENDING_S
        try:
            while isinstance(self._arrivals.get(timeout=max(0, deadline - time.monotonic())), tuple):
                pass
        except queue.Empty:
            self.cancel()

    def cancel(self) -> None:
        """End the turn on the server too. After the end of the stream this does nothing."""
        self._call.cancel()


def _receive(call: Any, arrivals: queue.SimpleQueue[Arrival | grpc.RpcError | None]) -> None:
    try:
        for response in call:
            arrivals.put((response, time.monotonic()))
        arrivals.put(None)
    except grpc.RpcError as error:
        arrivals.put(error)
