"""Whether the gateway lives, and whether the server behind it answers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route


def routes() -> list[BaseRoute]:
    return [Route("/health", _health), Route("/health/live", _live)]


async def _live(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})
