"""``/v1/chat/completions``: one turn, whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from stream_omni_client.async_stream import AsyncStream
from stream_omni_client.events import AudioDelta, TextDelta, TranscriptDelta
from stream_omni_client.gateway import events
from stream_omni_client.gateway.body import read_json
from stream_omni_client.gateway.chat_answer import ChatAnswer
from stream_omni_client.gateway.chat_request import ChatRequest, read_chat_request
from stream_omni_client.gateway.client_presence import while_present
from stream_omni_client.gateway.exchange import exchange_of
from stream_omni_client.gateway.gateway import Gateway, gateway_of
from stream_omni_client.gateway.questions import read_pictures, read_sound
from stream_omni_client.gateway.sound_files import CHAT_FORMATS
from stream_omni_client.gateway.streamed_response import StreamedResponse
from stream_omni_client.gateway.traces import traceparent_of


def routes() -> list[BaseRoute]:
    return [Route("/v1/chat/completions", _complete, methods=["POST"])]


async def _complete(request: Request) -> Response:
    gateway = gateway_of(request)
    chat = read_chat_request(await read_json(request, gateway.settings.limits), gateway.settings)
    if not chat.is_streamed:
        return JSONResponse(await while_present(request.receive, _whole(chat, gateway, request)))
    pieces = events.with_failures(_pieces(chat, gateway, request), exchange_of(request))
    return StreamedResponse(pieces, events.MEDIA_TYPE, gateway.settings.turn_timeout_s)


async def _whole(chat: ChatRequest, gateway: Gateway, request: Request) -> dict[str, object]:
    answer = ChatAnswer(gateway.settings.model, chat)
    async with await _ask(chat, gateway, request) as stream:
        async for _ in stream:
            pass
    return await asyncio.to_thread(answer.whole, stream.reply)


async def _pieces(chat: ChatRequest, gateway: Gateway, request: Request) -> AsyncGenerator[bytes]:
    answer, encoder = ChatAnswer(gateway.settings.model, chat), None
    async with await _ask(chat, gateway, request) as stream:
        first = True
        async for event in stream:
            if first:  # only now is it sure that there will be an answer
                first = False
                yield events.event(answer.beginning())
            if isinstance(event, TranscriptDelta):
                yield events.event(answer.transcript(event.delta))
            elif isinstance(event, TextDelta):
                yield events.event(answer.text(event.delta))
            elif isinstance(event, AudioDelta) and chat.sound_format is not None:
                encoder = encoder or CHAT_FORMATS[chat.sound_format].encoder(event.sample_rate_hz)
                if data := await asyncio.to_thread(encoder.add, event.samples):
                    yield events.event(answer.sound(data))
    if encoder is not None and (data := await asyncio.to_thread(encoder.finish)):
        yield events.event(answer.sound(data))
    for chunk in answer.ending(stream.reply):
        yield events.event(chunk)
    yield events.DONE


async def _ask(chat: ChatRequest, gateway: Gateway, request: Request) -> AsyncStream:
    conversation = chat.conversation
    sound = None if conversation.sound is None else await read_sound(conversation.sound, gateway)
    stream = gateway.omni.stream(
        conversation.text,
        audio=sound,
        image=await read_pictures(conversation.pictures, gateway),
        output="text" if chat.sound_format is None else "speech",
        timeout_s=gateway.settings.turn_timeout_s,
        traceparent=traceparent_of(request),
        **chat.options,
    )
    exchange_of(request).turn = stream.request_id
    return stream
