"""The dashboards: which rows they have, in which order."""

from __future__ import annotations

from stream_omni.serving.metrics import STREAMS_CAPACITY
from stream_omni_monitoring import gateway_names as gateway
from stream_omni_monitoring.gateway_rows import http_row, realtime_row
from stream_omni_monitoring.objectives import Objective
from stream_omni_monitoring.operation_rows import admission_row, capacity_row, envoy_row, hardware_row, lifecycle_row
from stream_omni_monitoring.panels import Dashboard
from stream_omni_monitoring.server_rows import modes_row, objectives_row, stages_row


def dashboards(objective: Objective) -> list[Dashboard]:
    return [
        Dashboard(
            "stream-omni-server",
            "Stream-Omni: servers",
            "What users of the servers notice, and what their operators look after. docs/monitoring.md explains "
            "each row.",
            STREAMS_CAPACITY.name,
            [
                objectives_row(objective),
                modes_row(),
                stages_row(),
                admission_row(),
                capacity_row(),
                hardware_row(),
                lifecycle_row(),
                envoy_row(),
            ],
        ),
        Dashboard(
            "stream-omni-gateway",
            "Stream-Omni: gateways",
            "OpenAI's interface and spoken conversations, as their clients find them.",
            gateway.IN_FLIGHT,
            [http_row(), realtime_row()],
        ),
    ]
