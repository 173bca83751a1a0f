"""What cannot be done for a client, as the ``error`` event that says so. The connection stays."""

from __future__ import annotations

import traceback
from typing import Any

from stream_omni_client.errors import StreamOmniError
from stream_omni_client.gateway.api_errors import ApiError, api_error_of
from stream_omni_client.gateway.log import log_event


def error_body(error: Exception, event_id: str | None = None) -> dict[str, Any]:
    """The field ``error`` of the event. ``event_id``: of the client's event that it is about.

    Beside the standard fields: ``retry_after_ms`` where trying again makes sense, and ``request_id`` of the turn.
    """
    if isinstance(error, ApiError):
        told = error
    elif isinstance(error, StreamOmniError):
        told = api_error_of(error)
    else:
        _log_failure(error)
        told = ApiError(500, "the gateway failed; try again", kind="server_error", code="gateway_failed")
    body: dict[str, Any] = {**told.body()["error"], "event_id": event_id}
    if told.retry_after_s is not None:
        body["retry_after_ms"] = round(told.retry_after_s * 1000)
    if isinstance(error, StreamOmniError) and error.request_id:
        body["request_id"] = error.request_id
    return body


def _log_failure(error: Exception) -> None:
    """Where it happened, and no more: what an exception says may hold what a user said."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.filename.rpartition('/')[2]}:{place.lineno} in {place.name}"
    log_event("failure", "error", error=type(error).__name__, place=where)
