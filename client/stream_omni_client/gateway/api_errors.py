"""What goes wrong, as OpenAI's users are told: a status, a body of a known shape, and when to try again."""

from __future__ import annotations

import math
import re
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stream_omni_client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    StreamOmniError,
    Unauthenticated,
)

_SHORTEST_RETRY_S = 0.1
_ADDRESS = re.compile(r"^\S+:\d+: ")  # of the server behind, with which the client's sentences begin


class ApiError(Exception):
    """``message``: a sentence for people, with the mend. ``kind``, ``param``, ``code``: as OpenAI's error bodies have
    them. ``retry_after_s``: when to try again. ``may_retry``: None leaves it to the client's own rule by status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        may_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.param, self.code = status, kind, param, code
        self.retry_after_s, self.may_retry = retry_after_s, may_retry

    def body(self) -> dict[str, Any]:
        """The JSON of a response, or of the event that ends a stream."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        return JSONResponse(self.body(), self.status, self._headers())

    def _headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after_s is not None:
            wait_s = max(self.retry_after_s, _SHORTEST_RETRY_S)  # openai's client takes 0 for no hint
            headers["retry-after"] = str(math.ceil(wait_s))
            headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
        if self.may_retry is not None:
            headers["x-should-retry"] = "true" if self.may_retry else "false"
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


def invalid(message: str, param: str | None, code: str | None = None) -> ApiError:
    """A request that has to be mended; ``param`` is where, such as ``messages[0].content``."""
    return ApiError(400, message, param=param, code=code)


def unsupported(param: str, message: str) -> ApiError:
    """A request for what there is not."""
    return invalid(message, param, "unsupported_parameter")


def api_error_of(error: StreamOmniError) -> ApiError:
    """How the failure of a turn reaches the caller of the gateway."""
    message = str(error)
    if isinstance(error, InvalidRequest):
        return ApiError(400, message)
    if isinstance(error, Overloaded) and error.reason == "DRAINING":
        return _server_error(503, message, "server_draining", error.retry_after)
    if isinstance(error, Overloaded):
        return ApiError(
            429, message, kind="rate_limit_error", code="server_overloaded", retry_after_s=error.retry_after or 1.0
        )
    if isinstance(error, DeadlineExceeded):  # another try would take as long
        told = _ADDRESS.sub("", message)
        return _server_error(504, f"the server took too long: {told}", "timeout", may_retry=False)
    if isinstance(error, ConnectionFailed):
        return _server_error(503, "the server behind this gateway cannot be reached now; try again", "no_server", 1.0)
    if isinstance(error, Unauthenticated):
        told = "the server behind this gateway does not let the gateway in; tell its operator"
        return _server_error(500, told, "gateway_not_let_in", may_retry=False)
    told = message if error.reason == "INTERNAL" else "the server behind this gateway failed; send the request again"
    return _server_error(500, told, "server_error")


async def routing_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: addresses and methods that there are not, and forms that are none."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    told = {404: f"there is no {path}; see the gateway's documentation", 405: f"{path} takes no {request.method}"}
    return ApiError(error.status_code, told.get(error.status_code, error.detail)).response()


def _server_error(
    status: int, message: str, code: str, retry_after_s: float | None = None, may_retry: bool | None = None
) -> ApiError:
    return ApiError(status, message, kind="server_error", code=code, retry_after_s=retry_after_s, may_retry=may_retry)
