"""Where an operator wants traces to go: what that means for tritonserver and for its models' processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from stream_omni.serving.spans import HEADER, RATIO, URL

EXPORT_INTERVAL_MS = 1000  # of both exporters, Triton's and ours
EXPORT_TIMEOUT_S = 3  # of one request to the collector, which a server that ends may have to wait for
QUEUED_SPANS = 2048  # of a process, about a hundred turns; where the collector is slower, the rest is lost
_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


class TracingError(ValueError):
    """Nothing can be traced so. The message is meant for the operator."""


@dataclass(frozen=True)
class Tracing:
    """``endpoint``: base URL of a collector that takes OTLP over HTTP; None: nothing is traced. ``ratio``: of the turns
    whose clients send no `traceparent`."""

    endpoint: str | None = None
    ratio: float = 1.0

    def check(self) -> None:
        """Raises TracingError."""
        if self.endpoint is None:
            return
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TracingError(f"{self.endpoint} is no address of a collector; give one such as http://localhost:4318")
        if parts.username or parts.password:  # it would stand in the process list
            raise TracingError("an address with a password would be seen; put it into OTEL_EXPORTER_OTLP_HEADERS")
        if not 0 <= self.ratio <= 1:
            raise TracingError(f"the ratio of traced turns is {self.ratio:g}; it can be 0 to 1")
        if not all(map(_is_installed, _NEEDED)):
            raise TracingError("tracing needs OpenTelemetry: pip install 'stream-omni[tracing]'")

    @property
    def url(self) -> str:
        """Where spans go; empty: nowhere."""
        return f"{self.endpoint.rstrip('/')}/v1/traces" if self.endpoint else ""

    @property
    def headers(self) -> tuple[str, ...]:
        """That models must get to see."""
        return (HEADER,) if self.endpoint else ()

    def arguments(self) -> list[str]:
        """Of tritonserver, whose own exporter traces the calls that come in with a `traceparent`, and no others: calls
        between models it could trace only while the caller's `execute` runs (decision 11)."""
        if self.endpoint is None:
            return []
        exporter = (f"url={self.url}", f"bsp_schedule_delay={EXPORT_INTERVAL_MS}", f"bsp_max_queue_size={QUEUED_SPANS}")
        settings = ("mode=opentelemetry", "level=TIMESTAMPS", "rate=0", "count=-1")
        return [
            *(f"--trace-config={setting}" for setting in settings),
            *(f"--trace-config=opentelemetry,{setting}" for setting in exporter),
        ]

    def environment(self) -> Mapping[str, str]:
        """Of tritonserver. Set in any case: what stood in the launcher's own would be half a setting."""
        own = {URL: self.url, RATIO: str(self.ratio)}
        return own | {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": f"{EXPORT_TIMEOUT_S}s"} if self.endpoint else own


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


UNTRACED = Tracing()
