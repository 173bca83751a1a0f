"""A collector on loopback: takes spans as OTLP over HTTP, in both encodings, and can be slow or dead on purpose."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE_S = 60.0  # spans come a second after their end; a busy machine takes longer


@dataclass(frozen=True)
class Span:
    name: str
    trace_id: str
    span_id: str
    parent_id: str  # empty: none
    service: str
    kind: int  # 1: internal, 2: server, 3: client
    begin_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    events: tuple[str, ...]
    failed: bool

    def get(self, name: str) -> Any:
        return self.attributes.get(f"stream_omni.{name}")


class MissingSpansError(AssertionError):
    """They did not come."""


class Collector:
    """Use it with ``with``; :attr:`endpoint` is what `--trace-endpoint` takes."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []  # as received
        self._open = threading.Event()
        self._open.set()
        self._server = self._listen(0)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        self._close()

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Inside, it takes requests and answers none."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    @contextmanager
    def dead(self) -> Iterator[None]:
        """Inside, nobody listens."""
        self._close()
        try:
            yield
        finally:
            self._server = self._listen(self._server.server_port)

    def trace(
        self, trace_id: str, is_whole: Callable[[list[Span]], bool], patience_s: float = PATIENCE_S
    ) -> list[Span]:
        """Its spans in the order of their beginnings, as soon as they are all there. Raises MissingSpansError."""
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s:
            found = [span for span in self.spans if span.trace_id == trace_id]
            if is_whole(found):
                return sorted(found, key=lambda span: span.begin_ns)
            time.sleep(0.05)
        raise MissingSpansError(f"of the trace {trace_id} there are {[span.name for span in found]}")

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes, content_type: str) -> None:
        self._open.wait()
        self.bodies.append(body)
        self.spans += _of_json(json.loads(body)) if "json" in content_type else _of_protobuf(body)


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            content_type, is_known = self.headers["Content-Type"], self.path == "/v1/traces"
            if is_known:
                collector.take(body, content_type)
            answer = b"{}" if "json" in content_type else ExportTraceServiceResponse().SerializeToString()
            with contextlib.suppress(ConnectionError):  # who has waited too long
                self.send_response(200 if is_known else 404)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    return Handler


def _of_protobuf(body: bytes) -> list[Span]:
    return [
        Span(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            service=_plain(resource.resource.attributes)["service.name"],
            kind=span.kind,
            begin_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            attributes=_plain(span.attributes),
            events=tuple(event.name for event in span.events),
            failed=span.status.code == 2,
        )
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def _of_json(message: Any) -> list[Span]:
    """Triton's: OTLP's JSON writes ids in hexadecimal digits, and 64 bits as strings."""
    return [
        Span(
            name=span["name"],
            trace_id=span["traceId"],
            span_id=span["spanId"],
            parent_id=span.get("parentSpanId", ""),
            service=_plain_json(resource["resource"]["attributes"])["service.name"],
            kind=span["kind"],
            begin_ns=int(span["startTimeUnixNano"]),
            end_ns=int(span["endTimeUnixNano"]),
            attributes=_plain_json(span.get("attributes", [])),
            events=tuple(event["name"] for event in span.get("events", [])),
            failed=span.get("status", {}).get("code") == 2,
        )
        for resource in message["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def _plain_json(attributes: Any) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in attributes}
