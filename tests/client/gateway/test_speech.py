"""Speech of given words, by OpenAI's own package: whole, in pieces, and as events."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from openai import APIConnectionError, AsyncOpenAI, BadRequestError, OpenAI

from tests.client.gateway.conftest import MODEL
from tests.client.gateway.gateway_process import GatewayProcess

LONG = "say without end"  # the server's speech of 0.4 s then says that it was cut


@pytest.mark.parametrize(
    ("response_format", "media_type", "rate_hz"),
    [
        ("mp3", "audio/mpeg", 22_050),
        ("opus", "audio/ogg", 24_000),
        ("flac", "audio/flac", 22_050),
        ("wav", "audio/wav", 22_050),
    ],
)
def test_a_file_of_each_kind(
    openai: OpenAI, tmp_path: Path, response_format: Any, media_type: str, rate_hz: int
) -> None:
    speech = openai.audio.speech.create(model=MODEL, input="hello", voice="default", response_format=response_format)
    assert speech.response.headers["content-type"] == media_type
    speech.write_to_file(tmp_path / "speech")
    samples, found_hz = soundfile.read(tmp_path / "speech")
    assert found_hz == rate_hz
    assert len(samples) / rate_hz == pytest.approx(0.4, abs=0.12)


def test_mp3_is_the_default(openai: OpenAI) -> None:
    speech = openai.audio.speech.create(model=MODEL, input="hello", voice="default")
    assert speech.response.headers["content-type"] == "audio/mpeg"


def test_streamed_as_one_wav(openai: OpenAI) -> None:
    with openai.audio.speech.with_streaming_response.create(
        model=MODEL, input="hello", voice="default", response_format="wav"
    ) as speech:
        content = b"".join(speech.iter_bytes())
    assert content.count(b"RIFF") == 1
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(content), dtype="int16")[0], np.arange(8820))


def test_it_leaves_piece_by_piece(gateway: GatewayProcess) -> None:
    """Two pieces of speech, two chunks of HTTP (and the empty ones of the end)."""
    connection = http.client.HTTPConnection(gateway.address, timeout=10)
    body = {"model": MODEL, "input": "hello", "voice": "default", "response_format": "wav"}
    connection.request("POST", "/v1/audio/speech", json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    assert (response.status, response.headers["transfer-encoding"]) == (200, "chunked")
    assert response.fp is not None
    raw = response.fp.read(44 + 8820 + 8820 + 6 + 2 + 6 + 2 + 5)  # with the sizes of the chunks, "229C\r\n" or so
    assert raw.startswith(f"{44 + 8820:x}\r\nRIFF".encode())
    assert f"\r\n{8820:x}\r\n".encode() in raw
    connection.close()


def test_as_events(openai: OpenAI) -> None:
    with openai.audio.speech.with_streaming_response.create(
        model=MODEL, input="hello", voice="default", response_format="pcm", stream_format="sse"
    ) as speech:
        assert speech.headers["content-type"].startswith("text/event-stream")
        lines = [json.loads(line.removeprefix("data: ")) for line in speech.iter_lines() if line]
    assert [line["type"] for line in lines] == ["speech.audio.delta"] * (len(lines) - 1) + ["speech.audio.done"]
    data = b"".join(base64.b64decode(line["audio"]) for line in lines[:-1])
    assert len(data) == 2 * 9600  # 0.4 s of 24 kHz


def test_speech_that_ends_before_the_words_do_is_broken_off(openai: OpenAI) -> None:
    """Rather than ended as if it were whole; as an event it says why. Who wants it cut gets it cut."""
    with pytest.raises(APIConnectionError):
        openai.audio.speech.create(model=MODEL, input=LONG, voice="default", response_format="wav")
    with openai.audio.speech.with_streaming_response.create(
        model=MODEL, input=LONG, voice="default", stream_format="sse"
    ) as speech:
        *_, last = [json.loads(line.removeprefix("data: ")) for line in speech.iter_lines() if line]
    assert (last["error"]["code"], last["error"]["param"]) == ("too_long", "input")
    assert "163.84 s" in last["error"]["message"]
    cut = openai.audio.speech.create(
        model=MODEL, input=LONG, voice="default", response_format="pcm", extra_body={"max_audio_ms": 400}
    )
    assert len(cut.content) == 2 * 9600


def test_asynchronously(gateway: GatewayProcess, question: Path) -> None:
    async def ask() -> tuple[bytes, str, str]:
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
            async with client.audio.speech.with_streaming_response.create(
                model=MODEL, input="hello", voice="default", response_format="pcm"
            ) as speech:
                sound = b"".join([piece async for piece in speech.iter_bytes()])
            transcript = await client.audio.transcriptions.create(model=MODEL, file=question)
            events = await client.audio.transcriptions.create(model=MODEL, file=question, stream=True)
            streamed = "".join([getattr(event, "delta", "") async for event in events])
            return sound, transcript.text, streamed

    sound, transcript, streamed = asyncio.run(ask())
    assert (len(sound), transcript, streamed) == (2 * 9600, "what is this", "what is this")


def test_an_unknown_voice_is_the_servers_refusal(openai: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="there is no voice"):
        openai.audio.speech.create(
            model=MODEL, input="refuse INVALID_ARG INVALID_ARGUMENT: there is no voice 'x'", voice="x"
        )
