"""An answer that leaves piece by piece. Its status is decided by the first piece: what fails before it is an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stream_omni_client.gateway.api_errors import ApiError
from stream_omni_client.gateway.client_presence import while_present

_HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would gather the pieces
}


class StreamedResponse(Response):
    """``pieces`` are closed on every way out, and cancelled where they wait when the client leaves. All of them
    together, with a client that reads slowly, have ``limit_s``."""

    def __init__(self, pieces: AsyncGenerator[bytes], media_type: str, limit_s: float) -> None:
        self._pieces, self._limit_s = pieces, limit_s
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_present(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        try:
            async with asyncio.timeout(self._limit_s), aclosing(self._pieces) as pieces:
                await self._send_pieces(pieces, send)
        except TimeoutError:
            message = f"the answer was not whole after {self._limit_s:g} s"
            raise ApiError(504, message, kind="server_error", code="timeout", may_retry=False) from None

    async def _send_pieces(self, pieces: AsyncGenerator[bytes], send: Send) -> None:
        piece = await anext(pieces, b"")
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
