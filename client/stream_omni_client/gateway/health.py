"""Whether the gateway lives, and whether the server behind it answers. Open to everybody, for probes have no keys."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from stream_omni_client.gateway.gateway import gateway_of


def routes() -> list[BaseRoute]:
    return [Route("/health", _ready), Route("/health/ready", _ready), Route("/health/live", _live)]


async def _live(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _ready(request: Request) -> Response:
    finding = await gateway_of(request).readiness.find()
    age_s = round(time.monotonic() - finding.at_s, 1)
    body = {"status": finding.status, "reason": finding.reason, "age_s": age_s}
    return JSONResponse(body, 200 if finding.is_ready else 503)
