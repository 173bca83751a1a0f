"""What sessions tell the gateway's metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_NAME = "stream_omni_gateway_realtime"
_FIRST_SOUND_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)  # round what a listener notices


class RealtimeMeter:
    """Of one gateway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sessions = Gauge(f"{_NAME}_sessions", "Open sessions of /v1/realtime", registry=registry)
        self.ends = Counter(
            f"{_NAME}_session_ends",
            "Sessions that are over, by reason: client, idle, expired, not_fetching, failed",
            ["reason"],
            registry=registry,
        )
        self.refused = Counter(
            f"{_NAME}_refused_sessions",
            "Sessions that were not begun, by reason: key, origin, model, full, server",
            ["reason"],
            registry=registry,
        )
        self.responses = Counter(
            f"{_NAME}_responses",
            "Responses that are over, by status, and by reason where they were cancelled",
            ["status", "reason"],
            registry=registry,
        )
        self.first_sound_seconds = Histogram(
            f"{_NAME}_first_sound_seconds",
            "From the question's end (commit, or response.create) to the first sound of its answer",
            buckets=_FIRST_SOUND_S,
            registry=registry,
        )
        self.refusals = Counter(
            f"{_NAME}_refused_events", "Events of clients that could not be carried out", registry=registry
        )
