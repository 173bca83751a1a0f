"""The WebSocket ``/v1/realtime``: who is let in, one session for each, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from stream_omni_client.errors import StreamOmniError
from stream_omni_client.gateway.api_errors import ApiError, api_error_of
from stream_omni_client.gateway.api_keys import Holder
from stream_omni_client.gateway.gateway import Gateway
from stream_omni_client.gateway.log import log_event
from stream_omni_client.gateway.model_names import check_model
from stream_omni_client.gateway.realtime.error_events import error_body
from stream_omni_client.gateway.realtime.items import new_id
from stream_omni_client.gateway.realtime.limits import QuestionLimits
from stream_omni_client.gateway.realtime.meter import RealtimeMeter
from stream_omni_client.gateway.realtime.outbox import Outbox
from stream_omni_client.gateway.realtime.response import Response
from stream_omni_client.gateway.realtime.session import Served, Session
from stream_omni_client.gateway.realtime.turns import Turns
from stream_omni_client.gateway.realtime.voice_activity import VoiceActivities

PATH = "/v1/realtime"
_SUBPROTOCOL = "realtime"
_KEY_SUBPROTOCOL = "openai-insecure-api-key."  # browsers can set no header of a WebSocket
_CLOSE_CODES = {401: 3000, 403: 3000, 429: 1013, 503: 1013}  # else 1008: against the rules
_NORMAL = 1000
_LAST_WORDS_S = 5.0
_ENDED = {
    "idle": ("session_idle", "nothing came from you for {0:g} s, so the session has ended; connect again"),
    "expired": ("session_expired", "a session lasts {0:g} s at the most; connect again"),
}


def routes(gateway: Gateway) -> list[BaseRoute]:
    return [WebSocketRoute(PATH, RealtimeEndpoint(gateway).serve)]


class RealtimeEndpoint:
    """Of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._limits = gateway, gateway.settings.realtime
        self._meter = RealtimeMeter(gateway.metrics.registry)
        self._activities = VoiceActivities()
        self._count = 0

    async def serve(self, websocket: WebSocket) -> None:
        try:
            holder = self._let_in(websocket)
            served = await self._served()
        except (ApiError, StreamOmniError) as error:
            await self._refuse(websocket, error if isinstance(error, ApiError) else api_error_of(error))
            return
        self._count += 1
        self._meter.sessions.inc()
        self._activities.prepare()
        try:
            await websocket.accept(_subprotocol(websocket))
            await _Run(self._gateway, holder, served, self._activities, self._meter).run(websocket)
        finally:
            self._count -= 1
            self._meter.sessions.dec()

    def _let_in(self, websocket: WebSocket) -> Holder:
        """Raises ApiError."""
        holder = self._gateway.door.let_in(_authorization(websocket))
        if self._gateway.settings.api_keys is None and not _is_own_page(websocket):
            told = "pages of other addresses are let in with an API key only, and this gateway has none"
            raise ApiError(403, told, code="origin_not_allowed")
        model = websocket.query_params.get("model")
        if model is not None:
            check_model(model, self._gateway.settings)
        if self._count >= self._limits.max_sessions:
            told = f"the gateway holds {self._limits.max_sessions} sessions at once; come again later"
            raise ApiError(429, told, kind="rate_limit_error", code="server_overloaded", retry_after_s=10.0)
        return holder

    async def _served(self) -> Served:
        """Raises StreamOmniError."""
        info, settings = await self._gateway.server_info(), self._gateway.settings
        models = (settings.model, *settings.aliases)
        return Served(models, info["voices"], QuestionLimits.of(info), settings.notice, settings.examples)

    async def _refuse(self, websocket: WebSocket, error: ApiError) -> None:
        """By HTTP; a browser tells its page nothing of that, so it is let in and told by an event."""
        self._meter.refused.labels(error.code or error.kind).inc()
        log_event("realtime_refused", status=error.status, reason=error.code)
        if not _is_browser(websocket):
            await websocket.send_denial_response(error.response())
            return
        await websocket.accept(_subprotocol(websocket))
        event = {"type": "error", "event_id": new_id("event"), "error": error_body(error)}
        await websocket.send_text(json.dumps(event, ensure_ascii=False))
        await websocket.close(_CLOSE_CODES.get(error.status, 1008), error.code or error.kind)


class _Run:
    """One session, from its first event to its last."""

    def __init__(
        self, gateway: Gateway, holder: Holder, served: Served, activities: VoiceActivities, meter: RealtimeMeter
    ) -> None:
        self._limits, self._holder, self._served = gateway.settings.realtime, holder, served
        self._activities, self._meter = activities, meter
        timeout_s = gateway.settings.turn_timeout_s
        self._turns = Turns(gateway.omni, lambda: gateway.door.place(holder), timeout_s)
        self._responses = 0

    async def run(self, websocket: WebSocket) -> None:
        began_s = time.monotonic()
        outbox = Outbox(websocket.send_text, self._limits)
        session = Session(
            self._turns,
            outbox,
            self._served,
            self._limits,
            self._activities,
            self._count_response,
            self._meter.refusals.inc,
        )
        reason = "failed"
        try:
            reason = await self._exchange(websocket, session, outbox)
        finally:
            await session.close()
            self._meter.ends.labels(reason).inc()
            log_event(
                "realtime",
                session=session.id,
                key=self._holder.name or None,
                reason=reason,
                responses=self._responses,
                total_s=round(time.monotonic() - began_s, 1),
            )
        if reason in _ENDED:
            await self._say_goodbye(websocket, outbox, reason)

    async def _exchange(self, websocket: WebSocket, session: Session, outbox: Outbox) -> str:
        """Until either side has had enough; why."""
        sending = asyncio.create_task(outbox.run())
        hearing = asyncio.create_task(self._hear(websocket, session))
        try:
            await asyncio.wait(
                {sending, hearing}, timeout=self._limits.session_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if hearing.done():
                return hearing.result()
            if not sending.done():
                return "expired"
            return "not_fetching" if isinstance(sending.exception(), TimeoutError) else "client"
        finally:
            for task in (sending, hearing):
                task.cancel()
            await asyncio.gather(sending, hearing, return_exceptions=True)

    async def _hear(self, websocket: WebSocket, session: Session) -> str:
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_timeout_s):
                    message = await websocket.receive()
            except TimeoutError:
                return "idle"
            if message["type"] == "websocket.disconnect":
                return "client"
            await session.handle(message.get("text") or (message.get("bytes") or b"").decode("utf-8", "replace"))

    async def _say_goodbye(self, websocket: WebSocket, outbox: Outbox, reason: str) -> None:
        code, told = _ENDED[reason]
        limit_s = self._limits.idle_timeout_s if reason == "idle" else self._limits.session_timeout_s
        outbox.put("error", error=error_body(ApiError(408, told.format(limit_s), code=code)))
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):  # who has left meanwhile
            async with asyncio.timeout(_LAST_WORDS_S):
                await outbox.flush()
                await websocket.close(_NORMAL, code)

    def _count_response(self, response: Response) -> None:
        self._responses += 1
        self._meter.responses.labels(response.status, response.reason or "").inc()
        if response.first_sound_s is not None:
            self._meter.first_sound_seconds.observe(response.first_sound_s)


def _authorization(websocket: WebSocket) -> str | None:
    """What the header says, or the subprotocol of a browser."""
    header = websocket.headers.get("authorization")
    offered = (name for name in websocket.scope["subprotocols"] if name.startswith(_KEY_SUBPROTOCOL))
    key = next(offered, "").removeprefix(_KEY_SUBPROTOCOL)
    return header or (f"Bearer {key}" if key else None)


def _subprotocol(websocket: WebSocket) -> str | None:
    return _SUBPROTOCOL if _SUBPROTOCOL in websocket.scope["subprotocols"] else None


def _is_browser(websocket: WebSocket) -> bool:
    return "origin" in websocket.headers


def _is_own_page(websocket: WebSocket) -> bool:
    """Or no page at all. A page of elsewhere must not talk to what its visitor can reach, such as his own machine."""
    origin = websocket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == websocket.headers.get("host")
