"""``/v1/audio/transcriptions``: what was said, whole or as it is understood."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from stream_omni_client.async_stream import AsyncStream
from stream_omni_client.events import TranscriptDelta
from stream_omni_client.gateway import events
from stream_omni_client.gateway.api_errors import invalid, unsupported
from stream_omni_client.gateway.body import read_form
from stream_omni_client.gateway.client_presence import while_present
from stream_omni_client.gateway.exchange import exchange_of
from stream_omni_client.gateway.fields import Fields
from stream_omni_client.gateway.gateway import Gateway, gateway_of
from stream_omni_client.gateway.messages import Sound
from stream_omni_client.gateway.model_names import check_model
from stream_omni_client.gateway.questions import read_sound
from stream_omni_client.gateway.settings import Settings
from stream_omni_client.gateway.streamed_response import StreamedResponse
from stream_omni_client.gateway.traces import traceparent_of

_FORMATS = ("json", "text", "verbose_json")
_KNOWN = {"file", "model", "response_format", "stream", "language", "temperature", "chunking_strategy"}
_REFUSED = (
    *("prompt", "keywords", "languages", "include", "timestamp_granularities"),
    *("known_speaker_names", "known_speaker_references"),
)


@dataclass(frozen=True)
class TranscriptionRequest:
    """``language`` is what the caller says that it is; the model finds none out."""

    sound: Sound
    response_format: str
    language: str | None
    is_streamed: bool


def routes() -> list[BaseRoute]:
    return [Route("/v1/audio/transcriptions", _transcribe, methods=["POST"])]


async def _transcribe(request: Request) -> Response:
    gateway = gateway_of(request)
    asked = await read_transcription_request(await read_form(request, gateway.settings.limits), gateway.settings)
    if asked.is_streamed:
        pieces = events.with_failures(_pieces(asked, gateway, request), exchange_of(request))
        return StreamedResponse(pieces, events.MEDIA_TYPE, gateway.settings.turn_timeout_s)
    return await while_present(request.receive, _whole(asked, gateway, request))


async def read_transcription_request(form: FormData, settings: Settings) -> TranscriptionRequest:
    """Raises ApiError, which names the field."""
    fields = Fields({name.removesuffix("[]"): value for name, value in form.items() if value != ""})
    fields.refuse_unknown(_KNOWN | set(_REFUSED))
    check_model(fields.needed_text("model"), settings)
    for name in _REFUSED:
        if name in fields:
            raise unsupported(name, f"this model has no {name} for transcriptions: leave it away")
    if (fields.text("temperature") or "0").strip("0.") != "":
        raise unsupported("temperature", "transcripts are made without chance: leave temperature away")
    if fields.text("chunking_strategy") not in (None, "auto"):
        raise unsupported("chunking_strategy", "the sound is taken as one piece: leave chunking_strategy away")
    file = fields.raw("file")
    if not isinstance(file, UploadFile):
        raise invalid("file is missing; send the sound as a file of the form", "file", "missing_required_parameter")
    response_format = fields.choice("response_format", _FORMATS) or "json"
    is_streamed = fields.choice("stream", ("true", "false", "True", "False")) in ("true", "True")
    if is_streamed and response_format != "json":
        raise invalid("streamed transcripts are events; leave response_format away", "response_format")
    return TranscriptionRequest(Sound(await file.read(), "file"), response_format, fields.text("language"), is_streamed)


async def _whole(asked: TranscriptionRequest, gateway: Gateway, request: Request) -> Response:
    samples, rate_hz = await read_sound(asked.sound, gateway)
    async with _listen((samples, rate_hz), gateway, request) as stream:
        async for _ in stream:
            pass
    transcript, duration_s = stream.reply.transcript, len(samples) / rate_hz
    if asked.response_format == "text":
        return PlainTextResponse(transcript)
    body: dict[str, Any] = {"text": transcript, "usage": {"type": "duration", "seconds": duration_s}}
    if asked.response_format == "verbose_json":
        body |= {"task": "transcribe", "language": asked.language or "unknown", "duration": duration_s}
    return JSONResponse(body)


async def _pieces(asked: TranscriptionRequest, gateway: Gateway, request: Request) -> AsyncGenerator[bytes]:
    async with _listen(await read_sound(asked.sound, gateway), gateway, request) as stream:
        async for event in stream:
            if isinstance(event, TranscriptDelta):
                yield events.event({"type": "transcript.text.delta", "delta": event.delta})
    yield events.event({"type": "transcript.text.done", "text": stream.reply.transcript})
    yield events.DONE


def _listen(sound: tuple[NDArray[np.float32], int], gateway: Gateway, request: Request) -> AsyncStream:
    stream = gateway.omni.stream_transcript(
        sound, timeout_s=gateway.settings.turn_timeout_s, traceparent=traceparent_of(request)
    )
    exchange_of(request).turn = stream.request_id
    return stream
