"""The trace that a turn belongs to, as W3C Trace Context: the application's own, or one that it names.

OpenTelemetry is no dependency: where the application has not imported it, it has no span either.
"""

from __future__ import annotations

import re
import sys

from stream_omni_client.errors import InvalidRequest

HEADER = "traceparent"
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SAMPLED = 0x01  # of the flags


def choose_traceparent(given: str | None) -> str | None:
    """``given``, or that of the active OpenTelemetry span; None: the turn belongs to no trace. Raises
    :class:`InvalidRequest`."""
    if given is None:
        return _active()
    if not _TRACEPARENT.fullmatch(given):
        message = f"the traceparent {given!r} is none; give 00-TRACE-SPAN-FLAGS in 32, 16 and 2 hexadecimal digits"
        raise InvalidRequest(message, reason="INVALID_ARGUMENT")
    return given


def is_sampled(traceparent: str) -> bool:
    return bool(int(traceparent[-2:], 16) & _SAMPLED)


def _active() -> str | None:
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
