"""How a scrape must label what it scrapes, so that queries can tell deployments, replicas and kinds of
programs apart."""

from __future__ import annotations

APP = 'app="stream-omni"'
SERVER, SUPERVISOR, GATEWAY, ENVOY = COMPONENTS = ("server", "supervisor", "gateway", "envoy")

DEPLOYMENT = "namespace, release"  # one installation of the chart
REPLICA = "namespace, release, pod"
