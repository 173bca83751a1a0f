"""The names of the gateway's metrics, asked of the collectors that it creates."""

from __future__ import annotations

from prometheus_client.registry import Collector
from stream_omni_client.gateway.metrics import Metrics
from stream_omni_client.gateway.realtime.meter import RealtimeMeter

_HTTP = Metrics()
_REALTIME = RealtimeMeter(_HTTP.registry)


def _name(collector: Collector) -> str:
    """As it stands on the page; of a histogram without its suffix."""
    (family,) = collector.collect()
    return f"{family.name}_total" if family.type == "counter" else family.name


REQUESTS = _name(_HTTP.requests)
REQUEST_SECONDS = _name(_HTTP.request_seconds)
FIRST_BYTE_SECONDS = _name(_HTTP.first_byte_seconds)
IN_FLIGHT = _name(_HTTP.in_flight)
RECEIVED_BYTES = _name(_HTTP.received_bytes)
SENT_BYTES = _name(_HTTP.sent_bytes)

SESSIONS = _name(_REALTIME.sessions)
SESSION_ENDS = _name(_REALTIME.ends)
REFUSED_SESSIONS = _name(_REALTIME.refused)
RESPONSES = _name(_REALTIME.responses)
FIRST_SOUND_SECONDS = _name(_REALTIME.first_sound_seconds)
REFUSED_EVENTS = _name(_REALTIME.refusals)

NAMES = (
    *(REQUESTS, REQUEST_SECONDS, FIRST_BYTE_SECONDS, IN_FLIGHT, RECEIVED_BYTES, SENT_BYTES),
    *(SESSIONS, SESSION_ENDS, REFUSED_SESSIONS, RESPONSES, FIRST_SOUND_SECONDS, REFUSED_EVENTS),
)
