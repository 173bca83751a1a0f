"""The web page to talk to: plain files, served as they are; it speaks ``/v1/realtime`` and nothing else."""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STATIC = Path(__file__).parent / "static"
_HEADERS = {
    # Nothing from elsewhere, nothing inline: what somebody says can never become a script
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": "microphone=(self), camera=(self)",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",  # asked again each time (304), so that a new version shows at once
}


def routes() -> list[BaseRoute]:
    return [
        Route("/", _WithHeaders(_index)),
        Mount("/page", _WithHeaders(StaticFiles(directory=_STATIC))),
    ]


async def _index(scope: Scope, receive: Receive, send: Send) -> None:
    await FileResponse(_STATIC / "index.html")(scope, receive, send)


class _WithHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
