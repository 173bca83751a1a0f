"""Spans by OpenTelemetry's SDK, sent to a collector as OTLP over HTTP. Needs the extra `tracing`."""

from __future__ import annotations

import logging
import os
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stream_omni.serving.event_log import log_event
from stream_omni.serving.spans import HEADER, Kind, Span
from stream_omni.serving.tracing import EXPORT_INTERVAL_MS, EXPORT_TIMEOUT_S, QUEUED_SPANS

SERVICE = "stream-omni"
_BATCH_SPANS = 512
_CLOSE_S = 1.0  # a server that ends does not wait for its collector
_COMPLAINT_INTERVAL_S = 60.0
_PREFIX = "stream_omni."  # of attributes
_KINDS = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "internal": trace.SpanKind.INTERNAL,
}


class OpenTelemetryTracer:
    """``url`` takes traces. ``ratio``: of the turns whose clients send no `traceparent`; others are traced where their
    client's trace is."""

    def __init__(self, url: str, ratio: float) -> None:
        _Complaints.hear()
        exporter = OTLPSpanExporter(url, timeout=EXPORT_TIMEOUT_S)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)), resource=_resource(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=QUEUED_SPANS,
                max_export_batch_size=_BATCH_SPANS,
                schedule_delay_millis=EXPORT_INTERVAL_MS,
            )
        )
        self._tracer = self._provider.get_tracer("stream_omni")

    def begin(self, name: str, traceparent: Any, began_s: float) -> Span | None:
        began_ns = time.time_ns() - round((time.monotonic() - began_s) * 1e9)
        return self._start(name, _parent(traceparent), began_ns)

    def join(self, name: str, traceparent: Any) -> Span | None:
        parent = _parent(traceparent)
        return self._start(name, parent, None) if parent else None

    def close(self) -> None:
        closing = threading.Thread(target=self._provider.shutdown, daemon=True, name="tracing")
        closing.start()
        closing.join(_CLOSE_S)

    def _start(self, name: str, parent: Context, began_ns: int | None) -> Span | None:
        span = self._tracer.start_span(name, parent, trace.SpanKind.SERVER, start_time=began_ns)
        return _OpenTelemetrySpan(self._tracer, span) if span.is_recording() else None


class _OpenTelemetrySpan:
    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer, self._span = tracer, span

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        span_id, flags = trace.format_span_id(context.span_id), context.trace_flags
        return f"00-{self.trace_id}-{span_id}-{flags:02x}"

    def child(self, name: str, kind: Kind = "internal") -> Span:
        parent = trace.set_span_in_context(self._span, Context())
        return _OpenTelemetrySpan(self._tracer, self._tracer.start_span(name, parent, _KINDS[kind]))

    def happen(self, event: str) -> None:
        self._span.add_event(event)

    def know(self, **attributes: Any) -> None:
        self._span.set_attributes({_PREFIX + name: value for name, value in attributes.items() if value is not None})

    def end(self, error: str | None = None) -> None:
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(trace.StatusCode.ERROR, error)
        self._span.end()


def _parent(traceparent: Any) -> Context:
    """Empty for what is no `traceparent`, which W3C wants to be ignored. Never this process's own current context."""
    carrier = {HEADER: traceparent} if isinstance(traceparent, str) else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _resource() -> Resource:
    """The operator's own OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count."""
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    try:
        own = {"service.version": version("stream-omni")}
    except PackageNotFoundError:  # run from a folder
        own = {}
    return Resource.create(own if named else {"service.name": SERVICE, **own})


class _Complaints(logging.Handler):
    """What the SDK has to say about a collector that does not answer: one line in a while, from whatever thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next_s = 0.0

    @classmethod
    def hear(cls) -> None:
        logger = logging.getLogger("opentelemetry")
        if not any(isinstance(handler, cls) for handler in logger.handlers):
            logger.addHandler(cls())
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        if (now_s := time.monotonic()) >= self._next_s:
            self._next_s = now_s + _COMPLAINT_INTERVAL_S
            log_event("tracing", "warning", message=record.getMessage())
