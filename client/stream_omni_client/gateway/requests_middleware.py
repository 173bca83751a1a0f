"""Round every request: the door, errors in OpenAI's shape, a line in the log, and the metrics."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from stream_omni_client.errors import StreamOmniError
from stream_omni_client.gateway.api_errors import ApiError, api_error_of
from stream_omni_client.gateway.client_presence import ClientGone
from stream_omni_client.gateway.exchange import Exchange
from stream_omni_client.gateway.gateway import Gateway
from stream_omni_client.gateway.log import log_event

_UNKNOWN_ROUTE = "other"
_CLIENT_LEFT, _BROKEN_OFF = 499, 599  # statuses of the log and the metrics only


class RequestsMiddleware:
    """Requests below /v1 pass the door; those that ask (POST) take a place. WebSockets see to all of it themselves."""

    def __init__(self, app: ASGIApp, gateway: Gateway, routes: Sequence[BaseRoute]) -> None:
        self._app, self._gateway, self._routes = app, gateway, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange, route = Exchange(scope, receive, send), self._route_of(scope)
        in_flight = self._gateway.metrics.in_flight.labels(route)
        in_flight.inc()
        try:
            await self._answer(exchange)
        except asyncio.CancelledError:
            exchange.status, exchange.reason = _BROKEN_OFF, "shutdown"
            raise
        finally:
            in_flight.dec()
            self._tell(exchange, route)

    def _route_of(self, scope: Scope) -> str:
        for route in self._routes:
            if route.matches(scope)[0] is not Match.NONE:
                return getattr(route, "path", _UNKNOWN_ROUTE)
        return _UNKNOWN_ROUTE

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._let_in(exchange)
        except ClientGone:
            exchange.status, exchange.reason = _CLIENT_LEFT, "client_left"
        except Exception as error:
            failure = _api_error_of(error, exchange)
            exchange.reason = failure.code or failure.kind
            if exchange.has_begun:  # too late for a status; an answer without its end tells the client
                exchange.status = _BROKEN_OFF
            else:
                await failure.response()(exchange.scope, exchange.receive, exchange.send)

    async def _let_in(self, exchange: Exchange) -> None:
        scope, door = exchange.scope, self._gateway.door
        if not scope["path"].startswith("/v1/"):
            await self._app(scope, exchange.receive, exchange.send)
            return
        holder = door.let_in(Headers(scope=scope).get("authorization"))
        exchange.holder = holder.name or None
        if scope["method"] == "POST":
            async with door.place(holder):
                await self._app(scope, exchange.receive, exchange.send)
        else:
            await self._app(scope, exchange.receive, exchange.send)

    def _tell(self, exchange: Exchange, route: str) -> None:
        metrics, took_s = self._gateway.metrics, exchange.elapsed_s
        metrics.requests.labels(route, str(exchange.status)).inc()
        metrics.request_seconds.labels(route).observe(took_s)
        if exchange.first_byte_s is not None:
            metrics.first_byte_seconds.labels(route).observe(exchange.first_byte_s)
        metrics.received_bytes.labels(route).inc(exchange.received_bytes)
        metrics.sent_bytes.labels(route).inc(exchange.sent_bytes)
        log_event(
            "request",
            request_id=exchange.request_id,
            turn=exchange.turn,
            key=exchange.holder,
            method=exchange.scope["method"],
            route=route,
            status=exchange.status,
            reason=exchange.reason,
            first_byte_ms=None if exchange.first_byte_s is None else round(exchange.first_byte_s * 1000, 1),
            total_ms=round(took_s * 1000, 1),
            received_bytes=exchange.received_bytes,
            sent_bytes=exchange.sent_bytes,
        )


def _api_error_of(error: Exception, exchange: Exchange) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, StreamOmniError):
        exchange.turn = error.request_id or exchange.turn
        return api_error_of(error)
    _log_failure(error, exchange)
    return ApiError(
        500, f"the gateway failed; tell its operator the request {exchange.request_id}", kind="server_error"
    )


def _log_failure(error: Exception, exchange: Exchange) -> None:
    """Where it happened, and no more: what an exception says may hold what a user said."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    log_event(
        "failure",
        "error",
        request_id=exchange.request_id,
        error=type(error).__name__,
        place=f"{place.filename.rpartition('/')[2]}:{place.lineno} in {place.name}",
    )
