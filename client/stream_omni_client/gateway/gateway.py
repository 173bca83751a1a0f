"""What the routes of one gateway share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from stream_omni_client.gateway.settings import Settings

if TYPE_CHECKING:
    from stream_omni_client import AsyncStreamOmni


class Gateway:
    """Lives on one event loop, as its client of the server does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def omni(self) -> AsyncStreamOmni:
        """The client of the server behind; to be used on the event loop only."""
        from stream_omni_client import AsyncStreamOmni

        settings = self.settings
        return AsyncStreamOmni(
            settings.triton_url,
            api_key=settings.triton_api_key,
            tls=settings.triton_tls,
            first_event_timeout_s=settings.first_event_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
        )

    async def close(self) -> None:
        """End the connection to the server."""
        if "omni" in self.__dict__:
            await self.omni.close()


def gateway_of(connection: HTTPConnection) -> Gateway:
    """Of a request or a WebSocket."""
    gateway: Gateway = connection.app.state.gateway
    return gateway
