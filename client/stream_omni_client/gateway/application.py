"""The gateway as an ASGI application: each topic's routes, and what is common to all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from stream_omni_client.gateway import chat, health, metrics_page, models, page, speech, transcriptions
from stream_omni_client.gateway.api_errors import routing_error
from stream_omni_client.gateway.gateway import Gateway
from stream_omni_client.gateway.realtime import endpoint as realtime
from stream_omni_client.gateway.requests_middleware import RequestsMiddleware
from stream_omni_client.gateway.settings import Settings


def create_application(settings: Settings) -> Starlette:
    """One process's gateway. Raises what :class:`Gateway` raises."""
    gateway = Gateway(settings)

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await gateway.close()

    routes: list[BaseRoute] = [
        *chat.routes(),
        *speech.routes(),
        *transcriptions.routes(),
        *models.routes(),
        *health.routes(),
        *metrics_page.routes(),
        *realtime.routes(gateway),
        *page.routes(),
    ]
    application = Starlette(
        routes=routes,
        middleware=[Middleware(RequestsMiddleware, gateway=gateway, routes=routes)],
        exception_handlers={HTTPException: routing_error},
        lifespan=lifespan,
    )
    application.state.gateway = gateway
    return application
