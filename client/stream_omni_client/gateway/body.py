"""Requests' bodies, read no further than their limit, and into memory only: no voice gets on a disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from stream_omni_client.gateway import strict_json
from stream_omni_client.gateway.api_errors import ApiError, invalid
from stream_omni_client.gateway.client_presence import ClientGone
from stream_omni_client.gateway.settings import GatewayLimits

_MAX_FIELDS = 50  # the route that has most knows a third as many
_MAX_FIELD_BYTES = 100_000


async def read_json(request: Request, limits: GatewayLimits) -> dict[str, Any]:
    """The body's JSON object. Raises ApiError, ClientGone."""
    _demand_type(request, "application/json")
    async with _patience(limits):
        content = b"".join([piece async for piece in _pieces(request, limits)])
    try:
        value = strict_json.loads(content)
    except strict_json.HalfCharacterError as error:
        raise invalid(f"the body {error}", None, "invalid_json") from None
    except (ValueError, RecursionError) as error:  # a ValueError that is no JSONDecodeError: a number of 5000 digits
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise invalid(f"the body is not JSON{where}", None, "invalid_json") from None
    if not isinstance(value, dict):
        raise invalid("the body is JSON, but no object", None, "invalid_json")
    return value


async def read_form(request: Request, limits: GatewayLimits) -> FormData:
    """The body's fields and files (multipart/form-data). Raises ApiError, ClientGone."""
    _demand_type(request, "multipart/form-data")
    pieces = _pieces(request, limits)
    parser = MultiPartParser(
        request.headers, pieces, max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
    )
    parser.spool_max_size = limits.max_body_bytes + 1
    try:
        async with _patience(limits):
            return await parser.parse()
    except MultiPartException as error:
        raise invalid(f"the body is no form: {error.message}", None) from None


@asynccontextmanager
async def _patience(limits: GatewayLimits) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            yield
    except ClientDisconnect:
        raise ClientGone from None
    except TimeoutError:
        raise ApiError(408, f"the body was not whole after {limits.body_timeout_s:g} s") from None


def _demand_type(request: Request, media_type: str) -> None:
    """Also because web pages of others can send no application/json to a gateway on the user's own machine."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise ApiError(415, f"the content-type is {given[:60]!r}; send {media_type}")


async def _pieces(request: Request, limits: GatewayLimits) -> AsyncGenerator[bytes, None]:
    limit, size = limits.max_body_bytes, 0
    claimed = request.headers.get("content-length", "0")
    if claimed.isdecimal() and int(claimed) > limit:
        raise _too_large(limit)
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        yield piece


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit} bytes; send smaller pictures or sounds", code="too_large")
