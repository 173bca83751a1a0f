"""What the routes of one gateway share."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import HTTPConnection

from stream_omni_client.async_client import AsyncStreamOmni
from stream_omni_client.gateway.door import Door
from stream_omni_client.gateway.metrics import Metrics
from stream_omni_client.gateway.picture_fetching import PictureFetcher
from stream_omni_client.gateway.readiness import Readiness
from stream_omni_client.gateway.settings import Settings

_INFO_S = 60.0  # how long what the server says of itself is taken for true; another one may take its place


class Gateway:
    """Lives on one event loop, as its client of the server does.

    Raises StreamOmniError and OSError for settings by which no server can be reached.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.omni = AsyncStreamOmni(
            settings.triton_url,
            api_key=settings.triton_api_key,
            tls=settings.triton_tls,
            first_event_timeout_s=settings.first_event_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
            max_retries=0,  # the caller's client tries again, by the hint that it gets
        )
        self.door = Door(settings)
        self.metrics = Metrics()
        self.fetcher = PictureFetcher(settings.limits) if settings.fetch_pictures else None
        self.readiness = Readiness(self.omni, settings)
        self.started = int(time.time())
        self._info: tuple[float, dict[str, Any]] | None = None

    async def server_info(self) -> dict[str, Any]:
        """What is served: voices, limits, checkpoint and version. Raises StreamOmniError."""
        if self._info is None or time.monotonic() - self._info[0] > _INFO_S:
            self._info = time.monotonic(), await self.omni.info()
        return self._info[1]

    async def close(self) -> None:
        """End the connection to the server, and the turns on it."""
        await self.omni.close()


def gateway_of(connection: HTTPConnection) -> Gateway:
    """Of a request or a WebSocket."""
    gateway: Gateway = connection.app.state.gateway
    return gateway
