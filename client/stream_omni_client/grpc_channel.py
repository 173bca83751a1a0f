"""What the gRPC channels of both twins have in common: their options, credentials, and what their errors mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from stream_omni_client.access import Tls
from stream_omni_client.errors import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    ServerError,
    StreamOmniError,
    error_of,
)

MODEL = "stream_omni"
# gRPC's words where no connection came about; the status of one that broke later is the same
_NO_CONNECTION = ("connections to all backends failing; ", "errors resolving ")
ENDING_S = 2.0  # how long the server may take to end a stream after its last word; it takes about a millisecond
LEAVING_S = 1.0  # and to end a turn that is left, before it is cancelled; it takes some hundredths of a second
SERVER_HEADER = "x-stream-omni-server"  # by which a proxy says who answers, and sends what follows to the same
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A connection without turns is given up before a load balancer or a router on the way silently forgets it (the
    # usual ones do after 60 s to 6 min). It must not be kept alive by pings: Triton allows one in two hours.
    ("grpc.client_idle_timeout_ms", 50_000),
    # While a turn waits, Triton allows a ping in five minutes, and breaks the connection at the third that is early.
    ("grpc.keepalive_time_ms", 360_000),
    ("grpc.keepalive_timeout_ms", 20_000),  # also the longest that sent data may stay unacknowledged
    ("grpc.http2.max_pings_without_data", 0),  # the client's own bound, of two
    # A name may stand for several servers: turns go round, and whoever is refused by a full one tries the next.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # Who cannot be reached is tried again soon: gRPC's first and longest pause, and its patience with a connection.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),
]


def read_credentials(tls: Tls | None) -> grpc.ChannelCredentials | None:
    """None: no TLS. Raises OSError for a file that cannot be read."""
    return None if tls is None else grpc.ssl_channel_credentials(*tls.read())


def configuration_request() -> service_pb2.ModelConfigRequest:
    return service_pb2.ModelConfigRequest(name=MODEL)


def read_parameter(answer: service_pb2.ModelConfigResponse, name: str) -> Any:
    """A JSON parameter of the model's configuration. Raises :class:`ServerError` where there is none."""
    try:
        return json.loads(answer.config.parameters[name].string_value)
    except ValueError as error:
        message = f"the server's model {MODEL} has no parameter {name}: it is another one than this client knows"
        raise ServerError(message, reason="PROTOCOL") from error


def same_server(initial_metadata: Iterable[tuple[str, str | bytes]]) -> tuple[tuple[str, str], ...]:
    """The metadata with which a proxy that named the server of an answer brings another call to it."""
    return tuple((key, str(value)) for key, value in initial_metadata if key == SERVER_HEADER)


def client_closed(request_id: str | None) -> Cancelled:
    return Cancelled("this client is closed; make another one", reason="CLOSED", request_id=request_id)


def failure_of(error: grpc.RpcError, url: str, request_id: str | None, timeout_s: float | None) -> StreamOmniError:
    """The typed error for a call that failed. ``timeout_s`` was its limit."""
    code, details = error.code().name, error.details() or ""
    if code == "DEADLINE_EXCEEDED" and timeout_s is not None:
        return DeadlineExceeded(f"{url}: not over after {timeout_s:g} s", reason="DEADLINE", request_id=request_id)
    if code == "UNAVAILABLE" and details.startswith(_NO_CONNECTION):
        message = f"{url} cannot be reached; {details.removeprefix(_NO_CONNECTION[0])}"
        return ConnectionFailed(message, reason="UNREACHABLE", request_id=request_id)
    known = error_of(details, code, request_id)
    if isinstance(known, ConnectionFailed):
        return ConnectionFailed(f"{url}: {details}", reason=code, request_id=request_id)
    return known
