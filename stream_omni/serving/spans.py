"""What a turn's trace is made of, for the code that is traced: nothing here knows OpenTelemetry.

Where a turn is not traced, all that is left of this is a look at a variable.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol

from stream_omni.serving.errors import TurnError, first_cause

URL, RATIO = "STREAM_OMNI_TRACE_URL", "STREAM_OMNI_TRACE_RATIO"  # in the environment of the server's processes
HEADER = "traceparent"  # of W3C Trace Context: a client's, and that of a call from the front door to a stage

Kind = Literal["server", "client", "internal"]


class Span(Protocol):
    """A stretch of time in a trace, from its making to :meth:`end`. Callable from any thread, at once, never fails."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def traceparent(self) -> str:
        """By which another process goes on under this span."""

    def child(self, name: str, kind: Kind = "internal") -> Span: ...

    def happen(self, event: str) -> None:
        """Something did, now."""

    def know(self, **attributes: Any) -> None:
        """Numbers and bounded words; None is left out. Never what was said, never a key."""

    def end(self, error: str | None = None) -> None:
        """``error``: the reason's word; the span counts as failed then."""


class Tracer(Protocol):
    """Of one process. What it makes goes to the collector behind everybody's back, or is lost."""

    def begin(self, name: str, traceparent: Any, began_s: float) -> Span | None:
        """A turn, under the span that its client sent, if that can be read. ``began_s``: time.monotonic. None: it is
        not traced."""

    def join(self, name: str, traceparent: Any) -> Span | None:
        """A stage's part of a turn. None: the turn is not traced."""

    def close(self) -> None:
        """Send what is there, as far as that is quick."""


class Untraced:
    """Where no collector was named."""

    def begin(self, name: str, traceparent: Any, began_s: float) -> Span | None:
        return None

    def join(self, name: str, traceparent: Any) -> Span | None:
        return None

    def close(self) -> None: ...


# What the running task or thread works for; calls of stages carry it on. None: nothing that is traced
CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)


def own_tracer() -> Tracer:
    """That of the server which this process belongs to."""
    url = os.environ.get(URL, "")
    if not url:
        return Untraced()
    from stream_omni.serving.open_telemetry import OpenTelemetryTracer  # not at the top: it need not be installed

    return OpenTelemetryTracer(url, float(os.environ[RATIO]))


@contextmanager
def part(name: str, kind: Kind = "internal", **attributes: Any) -> Iterator[None]:
    """What is done inside is a span of its own in the current one. Not across a ``yield``."""
    whole = CURRENT.get()
    if whole is None:
        yield
        return
    span = whole.child(name, kind)
    span.know(**attributes)
    token = CURRENT.set(span)
    failed: str | None = None
    try:
        yield
    except asyncio.CancelledError:
        span.know(cancelled=True)
        raise
    except BaseException as error:
        failed = reason_of(first_cause(error))
        raise
    finally:
        CURRENT.reset(token)
        span.end(failed)


def know(**attributes: Any) -> None:
    """Of the current span."""
    if (span := CURRENT.get()) is not None:
        span.know(**attributes)


def reason_of(error: BaseException) -> str:
    """A word that stands for an error: messages of errors may hold what was said."""
    return error.reason.partition(" ")[0] if isinstance(error, TurnError) else type(error).__name__
