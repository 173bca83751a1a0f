"""What the gateway counts, for Prometheus. Labels are bounded: the routes, never a path or a key."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# Bounds round what a listener notices (0.1 to 1 s) and round the longest turn (300 s)
_FIRST_BYTE_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)
_WHOLE_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Of one gateway; several may live in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = "stream_omni_gateway"
        self.requests = Counter(
            f"{name}_requests",
            "Requests that are over, by status; 499: the client left before the end, 599: broken off in the middle",
            ["route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            f"{name}_request_seconds",
            "From a request's headers to the last byte of its answer",
            ["route"],
            buckets=_WHOLE_S,
            registry=self.registry,
        )
        self.first_byte_seconds = Histogram(
            f"{name}_first_byte_seconds",
            "From a request's headers to the first byte of its answer's body",
            ["route"],
            buckets=_FIRST_BYTE_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            f"{name}_in_flight",
            "Requests, and WebSockets, that are being answered",
            ["route"],
            registry=self.registry,
        )
        self.received_bytes = Counter(
            f"{name}_received_bytes", "Of requests' bodies", ["route"], registry=self.registry
        )
        self.sent_bytes = Counter(f"{name}_sent_bytes", "Of answers' bodies", ["route"], registry=self.registry)

    def page(self) -> bytes:
        """As Prometheus reads it (text format 0.0.4)."""
        return generate_latest(self.registry)
