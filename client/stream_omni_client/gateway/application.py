"""The gateway as an ASGI application: each topic's routes, and what is common to all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from stream_omni_client.gateway import health
from stream_omni_client.gateway.gateway import Gateway
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

    application = Starlette(routes=[*health.routes()], lifespan=lifespan)
    application.state.gateway = gateway
    return application
