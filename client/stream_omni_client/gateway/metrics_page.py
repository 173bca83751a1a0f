"""``/metrics``, for Prometheus. Open to everybody who reaches the port: keep it inside."""

from __future__ import annotations

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from stream_omni_client.gateway.gateway import gateway_of


def routes() -> list[BaseRoute]:
    return [Route("/metrics", _metrics)]


async def _metrics(request: Request) -> Response:
    return Response(gateway_of(request).metrics.page(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
