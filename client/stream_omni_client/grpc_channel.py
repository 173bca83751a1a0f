"""What the gRPC channels of both twins have in common: their options, credentials, and what their errors mean."""

from __future__ import annotations

import json
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from stream_omni_client.access import Tls
from stream_omni_client.errors import ConnectionFailed, DeadlineExceeded, StreamOmniError, error_of

MODEL = "stream_omni"
ENDING_S = 2.0  # how long the server may take to end a stream after its last word; it takes about a millisecond
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def read_credentials(tls: Tls | None) -> grpc.ChannelCredentials | None:
    """None: no TLS. Raises OSError for a file that cannot be read."""
    return None if tls is None else grpc.ssl_channel_credentials(*tls.read())


def configuration_request() -> service_pb2.ModelConfigRequest:
    return service_pb2.ModelConfigRequest(name=MODEL)


def read_parameter(answer: service_pb2.ModelConfigResponse, name: str) -> Any:
    """A JSON parameter of the model's configuration."""
    return json.loads(answer.config.parameters[name].string_value)


def failure_of(error: grpc.RpcError, url: str, request_id: str | None, timeout_s: float | None) -> StreamOmniError:
    """The typed error for a call that failed. ``timeout_s`` was its limit."""
    code, details = error.code().name, error.details() or ""
    if code == "DEADLINE_EXCEEDED" and timeout_s is not None:
        return DeadlineExceeded(f"{url}: not over after {timeout_s:g} s", reason="DEADLINE", request_id=request_id)
    known = error_of(details, code, request_id)
    if isinstance(known, ConnectionFailed):
        return ConnectionFailed(f"{url}: {details}", reason=code, request_id=request_id)
    return known
