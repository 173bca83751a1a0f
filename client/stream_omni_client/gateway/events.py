"""Server-sent events, as OpenAI's streams have them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from stream_omni_client.errors import StreamOmniError
from stream_omni_client.gateway.api_errors import ApiError, api_error_of
from stream_omni_client.gateway.exchange import Exchange

MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"


def event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


async def with_failures(events: AsyncGenerator[bytes], exchange: Exchange) -> AsyncGenerator[bytes]:
    """``events``, and where they fail after the first one, an event that says so. Before it the failure is raised."""
    has_begun = False
    async with aclosing(events):
        try:
            async for piece in events:
                has_begun = True
                yield piece
        except (ApiError, StreamOmniError) as error:
            if not has_begun:
                raise
            failure = error if isinstance(error, ApiError) else api_error_of(error)
            exchange.reason = failure.code or failure.kind
            yield event(failure.body())
