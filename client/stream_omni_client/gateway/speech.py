"""``/v1/audio/speech``: the given words themselves, spoken, and sent while they are."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from stream_omni_client.events import AudioDelta
from stream_omni_client.gateway import events
from stream_omni_client.gateway.api_errors import ApiError, invalid, unsupported
from stream_omni_client.gateway.body import read_json
from stream_omni_client.gateway.exchange import exchange_of
from stream_omni_client.gateway.fields import Fields
from stream_omni_client.gateway.gateway import Gateway, gateway_of
from stream_omni_client.gateway.model_names import check_model
from stream_omni_client.gateway.settings import Settings
from stream_omni_client.gateway.sound_files import NO_SPEECH, SPEECH_FORMATS, whole_file
from stream_omni_client.gateway.streamed_response import StreamedResponse
from stream_omni_client.gateway.traces import traceparent_of
from stream_omni_client.gateway.voices import read_voice

_MAX_CHARACTERS = 4096  # OpenAI's limit, and more than anybody speaks in the longest speech (164 s)
_KNOWN = {"model", "input", "voice", "response_format", "stream_format", "speed", "instructions", "max_audio_ms"}


@dataclass(frozen=True)
class SpeechRequest:
    """``max_audio_ms``: where the caller wants the speech cut, None: not at all."""

    text: str
    voice: str | None
    response_format: str
    as_events: bool
    max_audio_ms: int | None


def routes() -> list[BaseRoute]:
    return [Route("/v1/audio/speech", _speak, methods=["POST"])]


async def _speak(request: Request) -> Response:
    gateway = gateway_of(request)
    asked = read_speech_request(await read_json(request, gateway.settings.limits), gateway.settings)
    pieces = _sound(asked, gateway, request)
    limit_s = gateway.settings.turn_timeout_s
    if asked.as_events:
        told = events.with_failures(_events(pieces), exchange_of(request))
        return StreamedResponse(told, events.MEDIA_TYPE, limit_s)
    return StreamedResponse(pieces, SPEECH_FORMATS[asked.response_format].media_type, limit_s)


def read_speech_request(body: Mapping[str, Any], settings: Settings) -> SpeechRequest:
    """Raises ApiError, which names the field."""
    fields = Fields(body)
    fields.refuse_unknown(_KNOWN)
    check_model(fields.needed_text("model"), settings)
    text = fields.needed_text("input")
    if len(text) > _MAX_CHARACTERS:
        raise invalid(f"input has {len(text)} characters; the limit is {_MAX_CHARACTERS}, speak it in pieces", "input")
    if fields.number("speed", 0.25, 4) not in (None, 1):
        raise unsupported("speed", "this model speaks at its own speed: leave speed away")
    if fields.text("instructions"):
        raise unsupported("instructions", "this model takes no instructions how to speak: leave them away")
    return SpeechRequest(
        text,
        read_voice(fields),
        fields.choice("response_format", tuple(SPEECH_FORMATS)) or "mp3",
        fields.choice("stream_format", ("audio", "sse")) == "sse",
        fields.integer("max_audio_ms", 1, 2**31 - 1),
    )


async def _sound(asked: SpeechRequest, gateway: Gateway, request: Request) -> AsyncGenerator[bytes]:
    """The file, piece by piece. Raises ApiError where the speech ends before the words do."""
    longest_ms: int = (await gateway.server_info())["limits"]["max_audio_out_ms"]
    encoder = None
    async with gateway.omni.stream_speech(
        asked.text,
        voice=asked.voice,
        max_audio_ms=asked.max_audio_ms or longest_ms,
        timeout_s=gateway.settings.turn_timeout_s,
        traceparent=traceparent_of(request),
    ) as stream:
        exchange_of(request).turn = stream.request_id
        async for event in stream:
            if isinstance(event, AudioDelta):
                encoder = encoder or SPEECH_FORMATS[asked.response_format].encoder(event.sample_rate_hz)
                if piece := await asyncio.to_thread(encoder.add, event.samples):
                    yield piece
    done = stream.reply.done
    if done is not None and done.audio_finish == "length" and asked.max_audio_ms is None:
        told = f"the words are not all spoken after {longest_ms / 1000:g} s, the longest speech; speak them in pieces"
        raise ApiError(400, told, param="input", code="too_long")
    if encoder is None:
        yield whole_file(NO_SPEECH, SPEECH_FORMATS[asked.response_format])
    elif piece := await asyncio.to_thread(encoder.finish):
        yield piece


async def _events(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        async for piece in pieces:
            yield events.event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    yield events.event({"type": "speech.audio.done"})
