"""What can go wrong with a turn, as one tree of exceptions.

Error messages of the server begin with a reason in capitals and a colon (``INVALID_ARGUMENT: the text is empty; ...``);
:func:`error_of` turns such a message, or else the gRPC status, into the matching class.
"""

# ruff: noqa: N818 (the names say what happened; all end in StreamOmniError)
from __future__ import annotations

import re

_MESSAGE = re.compile(
    r"(?P<reason>INVALID_ARGUMENT|OVERLOADED|DRAINING|DEADLINE|UNAUTHENTICATED|INTERNAL)"
    r"(?: retry_after_ms=(?P<retry_after_ms>\d+))?: *(?P<sentence>.*)",
    re.DOTALL,
)
_NOT_SERVED = "Request for unknown model"  # Triton's message on a stream, also while it shuts down


class StreamOmniError(Exception):
    """Base of all errors that this package raises; ``str(error)`` is one sentence for people.

    ``reason`` is a stable word for programs (``INVALID_ARGUMENT``, ``OVERLOADED``, ``UNREACHABLE``, ...),
    ``request_id`` names the turn in the server's logs (None where no turn was asked for), ``__cause__`` is the
    underlying error where there is one.
    """

    def __init__(self, message: str, *, reason: str = "", request_id: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.request_id = request_id


class ConnectionFailed(StreamOmniError):
    """No server that can take the turn was reached (reason ``UNREACHABLE``, or ``NOT_FOUND`` where it is just ending),
    or the connection broke while it ran."""


class DeadlineExceeded(StreamOmniError):
    """The turn took too long: no first event, silence between two events, or the whole turn's time is used up."""


class InvalidRequest(StreamOmniError):
    """The turn was refused for what it contains; the message says what is wrong, the limit and the mend."""


class Unauthenticated(StreamOmniError):
    """The server wants credentials that were not given or are not accepted."""


class Overloaded(StreamOmniError):
    """The server takes no further turn now: all its slots are taken, or it is about to stop.

    ``retry_after`` is the server's hint in seconds (as in HTTP's Retry-After), None where it gave none.
    """

    def __init__(
        self, message: str, *, reason: str = "", request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, reason=reason, request_id=request_id)
        self.retry_after = retry_after


class Cancelled(StreamOmniError):
    """The turn was cancelled, by this client or on the way, before it was done."""


class ServerError(StreamOmniError):
    """The server failed, or did not keep to the protocol; other turns are not affected."""


_BY_REASON: dict[str, type[StreamOmniError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "DEADLINE": DeadlineExceeded,
    "UNAUTHENTICATED": Unauthenticated,
    "INTERNAL": ServerError,
}

_BY_GRPC_CODE: dict[str, type[StreamOmniError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": Unauthenticated,
    "CANCELLED": Cancelled,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAVAILABLE": ConnectionFailed,
    "NOT_FOUND": ConnectionFailed,
}


def error_of(message: str, grpc_code: str | None = None, request_id: str | None = None) -> StreamOmniError:
    """The error for a server's ``message``; where it carries no reason, for the name of its gRPC status code."""
    match = _MESSAGE.match(message)
    if message.startswith(_NOT_SERVED):
        return ConnectionFailed(message, reason="NOT_FOUND", request_id=request_id)
    if match is None:
        kind = _BY_GRPC_CODE.get(grpc_code or "", ServerError)
        return kind(message or "the server gave no message", reason=grpc_code or "UNKNOWN", request_id=request_id)
    reason, sentence = match["reason"], match["sentence"]
    if reason in _BY_REASON:
        return _BY_REASON[reason](sentence, reason=reason, request_id=request_id)
    milliseconds = match["retry_after_ms"]
    return Overloaded(
        sentence,
        reason=reason,
        request_id=request_id,
        retry_after=None if milliseconds is None else int(milliseconds) / 1000,
    )
