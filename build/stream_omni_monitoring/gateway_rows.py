"""The gateway's dashboard."""

from __future__ import annotations

from stream_omni_monitoring import gateway_names as gateway
from stream_omni_monitoring.panels import Curve, Panel, Row
from stream_omni_monitoring.server_rows import SHOWN


def http_row() -> Row:
    return Row(
        "Requests: rate, errors, duration",
        [
            Panel(
                "Requests that ended",
                "By route.",
                "reqps",
                [Curve(SHOWN.rate(gateway.REQUESTS, by="route"), "{{route}}")],
                kind="stack",
            ),
            Panel(
                "By status",
                "499: the client left before the end. 599: broken off in the middle.",
                "reqps",
                [Curve(SHOWN.rate(gateway.REQUESTS, by="status"), "{{status}}")],
                kind="stack",
            ),
            Panel(
                "Under way",
                "Requests, and WebSockets, that are being answered.",
                "short",
                [Curve(SHOWN.sum(gateway.IN_FLIGHT, by="route"), "{{route}}")],
                kind="stack",
            ),
            Panel(
                "First byte of an answer, p95",
                "From a request's headers on, by route.",
                "s",
                [Curve(SHOWN.quantile(0.95, gateway.FIRST_BYTE_SECONDS, by="route"), "{{route}}")],
            ),
            Panel(
                "A whole answer, p95",
                "From a request's headers to the last byte, by route.",
                "s",
                [Curve(SHOWN.quantile(0.95, gateway.REQUEST_SECONDS, by="route"), "{{route}}")],
            ),
            Panel(
                "Bytes",
                "Of requests' and answers' bodies.",
                "Bps",
                [
                    Curve(SHOWN.rate(gateway.RECEIVED_BYTES), "received"),
                    Curve(SHOWN.rate(gateway.SENT_BYTES), "sent"),
                ],
            ),
        ],
    )


def realtime_row() -> Row:
    return Row(
        "Spoken conversations (/v1/realtime)",
        [
            Panel(
                "Open sessions",
                "By replica.",
                "short",
                [Curve(SHOWN.sum(gateway.SESSIONS, by="pod"), "{{pod}}")],
                kind="stack",
            ),
            Panel(
                "Responses that ended",
                "By status, and by reason where they were cancelled.",
                "reqps",
                [Curve(SHOWN.rate(gateway.RESPONSES, by="status, reason"), "{{status}} {{reason}}")],
                kind="stack",
            ),
            Panel(
                "First sound of an answer",
                "From the question's end on.",
                "s",
                [
                    Curve(SHOWN.quantile(share, gateway.FIRST_SOUND_SECONDS), f"p{share * 100:g}")
                    for share in (0.5, 0.95)
                ],
            ),
            Panel(
                "Sessions that ended",
                "By reason.",
                "reqps",
                [Curve(SHOWN.rate(gateway.SESSION_ENDS, by="reason"), "{{reason}}")],
                kind="stack",
            ),
            Panel(
                "Sessions refused",
                "By reason: key, origin, model, full, server.",
                "reqps",
                [Curve(SHOWN.rate(gateway.REFUSED_SESSIONS, by="reason"), "{{reason}}")],
                kind="stack",
            ),
            Panel(
                "Events that could not be carried out",
                "What clients sent and should not have.",
                "reqps",
                [Curve(SHOWN.rate(gateway.REFUSED_EVENTS), "refused events")],
            ),
        ],
    )
