"""The trace that a request belongs to (W3C Trace Context): its turn goes on with it."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from stream_omni_client.errors import InvalidRequest
from stream_omni_client.trace_context import HEADER, choose_traceparent


def traceparent_of(connection: HTTPConnection) -> str | None:
    """None: the request names none, or what is none, which is no reason to answer nothing."""
    try:
        return choose_traceparent(connection.headers.get(HEADER))
    except InvalidRequest:
        return None
