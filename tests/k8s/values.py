"""The chart's values for the stand: the demo's on a laptop, and shorter times where the machine is smaller."""

from __future__ import annotations

from typing import Any

from tests.helm.cases import CPU
from tests.helm.chart import merged

MOST_REPLICAS = 3
STAND: dict[str, Any] = merged(
    CPU,
    {
        "gateway": {"enabled": False},
        "server": {"startSeconds": 600, "drain": {"settleSeconds": 5, "turnsSeconds": 90, "timeoutSeconds": 20}},
        "envoy": {"healthCheck": {"intervalSeconds": 1, "timeoutSeconds": 2, "failures": 2}},
        "monitoring": {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
        # 0.7 of the places of these servers: what was measured of the demo says nothing of a tiny random model
        "autoscaling": {"maxReplicas": MOST_REPLICAS, "turnsPerReplica": 5},
    },
)
PLACES = 12  # turns at once, of servers that share thirty
THREE = merged(STAND, {"server": {"replicas": 3, "capacity": {"running": PLACES}}})
HPA = merged(STAND, {"autoscaling": {"mode": "hpa"}})
KEDA = merged(STAND, {"autoscaling": {"mode": "keda", "prometheusUrl": "http://prometheus.monitoring:9090"}})
