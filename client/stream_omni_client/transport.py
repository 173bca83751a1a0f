"""The gRPC connection: one stream per turn, and no way to wait for ever.

A process of the server that dies in the middle of a turn leaves its stream open and silent. So silence is watched here:
a thread per turn takes what arrives, and the caller waits for it with a limit.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from stream_omni_client.access import Tls
from stream_omni_client.errors import ConnectionFailed, DeadlineExceeded, StreamOmniError, error_of
from stream_omni_client.events import Event
from stream_omni_client.trace_context import HEADER, is_sampled
from stream_omni_client.wire import decode_event, encode_request

_MODEL = "stream_omni"
_ENDING_S = 2.0  # it takes about a millisecond
_CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds: for the first event, between two events, for the whole turn (None: no limit)."""

    first_event_s: float
    idle_s: float
    turn_s: float | None


class Connection:
    """A channel to one server. Turns may share it, from several threads; it connects when first used.

    ``metadata`` goes with each call. Raises OSError for a file of ``tls`` that cannot be read.
    """

    def __init__(self, url: str, tls: Tls | None = None, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self.url, self._metadata = url, metadata
        if tls is None:
            self._channel = grpc.insecure_channel(url, options=_CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(url, grpc.ssl_channel_credentials(*tls.read()), _CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def start(
        self, request_id: str, inputs: Mapping[str, Any], limits: Limits, traceparent: str | None = None
    ) -> Responses:
        """Send a turn on a stream of its own and close the sending side, so that the server can end the stream.

        Of a trace that is not recorded, the ``traceparent`` goes as a parameter of the request: what comes as a header,
        tritonserver 2.51 traces in any case.

        Errors come as messages on the stream. Triton can send them as the stream's status instead (metadata
        ``triton_grpc_error``), but tritonserver 2.51 crashed on that: 5 of 13 servers that failed up to 3000 turns each
        in the middle, none of 13 without it.
        """
        request, metadata = encode_request(_MODEL, request_id, inputs), self._metadata
        if traceparent is not None and is_sampled(traceparent):
            metadata = (*metadata, (HEADER, traceparent))
        elif traceparent is not None:
            request.parameters[HEADER].string_param = traceparent
        call = self._stub.ModelStreamInfer(iter([request]), timeout=limits.turn_s, metadata=metadata)
        return Responses(call, self.url, request_id, limits)

    def model_parameter(self, name: str, timeout_s: float) -> Any:
        """A JSON parameter of the model's configuration. Raises :class:`StreamOmniError`."""
        try:
            request = service_pb2.ModelConfigRequest(name=_MODEL)
            answer = self._stub.ModelConfig(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _translate(error, self.url, None, timeout_s) from error
        return json.loads(answer.config.parameters[name].string_value)

    def close(self) -> None:
        """Ends every turn that is still running."""
        self._channel.close()


Arrival: TypeAlias = tuple[float, service_pb2.ModelStreamInferResponse] | grpc.RpcError | None
"""The time and the response, or how the stream ended (None: well)."""


class Responses(Iterator[Event]):
    """The events of one turn as they arrive, until the server ends the stream. Raises :class:`StreamOmniError`."""

    def __init__(self, call: Any, url: str, request_id: str, limits: Limits) -> None:
        self._call, self._url, self._request_id, self._limits = call, url, request_id, limits
        self._started = time.monotonic()
        self._any_arrived = False
        self._arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        # The thread must not hold this object: dropping it is a way to leave the stream.
        threading.Thread(target=_receive, args=(call, self._arrivals), daemon=True, name=f"turn-{request_id}").start()

    def __next__(self) -> Event:
        patience_s = self._limits.idle_s if self._any_arrived else self._limits.first_event_s
        try:
            arrival = self._arrivals.get(timeout=patience_s)
        except queue.Empty:
            self.cancel()
            raise self._silence() from None
        if arrival is None:
            raise StopIteration
        if isinstance(arrival, grpc.RpcError):
            raise _translate(arrival, self._url, self._request_id, self._limits.turn_s) from arrival
        at, response = arrival
        if response.error_message:
            self.drain()
            raise error_of(response.error_message, request_id=self._request_id)
        self._any_arrived = True
        return decode_event(response.infer_response, at - self._started)

    def drain(self) -> None:
        """After the turn's last event: wait for the server to end the stream.

        Who leaves between the two can crash tritonserver 2.51 for everybody: 7 of 8 servers fell within 1500 turns that
        left at the last event, none of 8 when the end was waited for.
        """
        with contextlib.suppress(queue.Empty):
            while isinstance(self._arrivals.get(timeout=_ENDING_S), tuple):
                pass

    def cancel(self) -> None:
        """End the turn on the server too. After the end of the stream this does nothing."""
        self._call.cancel()

    def _silence(self) -> DeadlineExceeded:
        if self._any_arrived:
            what = f"nothing more came for {self._limits.idle_s:g} s (idle_timeout_s)"
        else:
            what = f"nothing came within {self._limits.first_event_s:g} s (first_event_timeout_s)"
        message = f"{self._url}: {what}; the turn was cancelled"
        return DeadlineExceeded(message, reason="SILENCE", request_id=self._request_id)


def _receive(call: Any, arrivals: queue.SimpleQueue[Arrival]) -> None:
    try:
        for response in call:
            arrivals.put((time.monotonic(), response))
        arrivals.put(None)
    except grpc.RpcError as error:
        arrivals.put(error)


def _translate(error: grpc.RpcError, url: str, request_id: str | None, timeout_s: float | None) -> StreamOmniError:
    code, details = error.code().name, error.details() or ""
    if code == "DEADLINE_EXCEEDED" and timeout_s is not None:
        return DeadlineExceeded(f"{url}: not over after {timeout_s:g} s", reason="DEADLINE", request_id=request_id)
    known = error_of(details, code, request_id)
    if isinstance(known, ConnectionFailed):
        return ConnectionFailed(f"{url}: {details}", reason=code, request_id=request_id)
    return known
