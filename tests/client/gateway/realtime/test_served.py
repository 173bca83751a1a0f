"""Sessions in front of the real pipeline: the tiny random checkpoint, with words of noise and a stream that is real."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI, OpenAI
from stream_omni_client import StreamOmni
from stream_omni_client.gateway.resampling import Resampler

from tests.client.gateway.gateway_process import GatewayProcess, gateway_process
from tests.client.gateway.realtime.talk import Talk, decoded, silence, spoken_question, talk

PICTURE = Path(__file__).parents[4] / "build" / "demo" / "media" / "picture.png"
TOKENS = 12


@pytest.fixture(scope="module")
def pipeline(url: str) -> Iterator[GatewayProcess]:
    with gateway_process(url) as process:
        yield process


@pytest.fixture
def client(pipeline: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{pipeline.url}/v1", api_key="none") as client:
        yield client


def sound_of(session: Talk, response_id: str) -> np.ndarray:
    deltas = [event for event in session.all("response.output_audio.delta") if event.response_id == response_id]
    return np.concatenate([decoded(event.delta) for event in deltas])


def test_a_spoken_question_end_to_end(client: OpenAI) -> None:
    with talk(client) as session:
        session.update(max_output_tokens=TOKENS)
        session.say(np.concatenate([silence(0.5), spoken_question(), silence(0.8)]))
        done = session.until("response.done").response
    transcript = session.all("conversation.item.input_audio_transcription.completed")[0].transcript
    assert transcript
    assert (done.status, done.status_details.reason) == ("incomplete", "max_output_tokens")
    usage = done.usage
    assert usage.output_token_details.text_tokens == TOKENS
    assert usage.input_token_details.audio_tokens == pytest.approx(25 * 2.8, abs=25)  # units of the speech
    sound = sound_of(session, done.id)
    assert len(sound) / 24_000 == pytest.approx(usage.output_token_details.audio_tokens / 25, abs=0.05)
    marks = [mark for event in session.all("response.output_audio.delta") for mark in event.marks]
    assert marks and all(0 <= begin < end <= len(session.text()) for begin, end, _ in marks)
    assert [start for _, _, start in marks] == sorted(start for _, _, start in marks)


def test_the_answer_is_the_one_that_the_server_gives_without_a_gateway(client: OpenAI, url: str) -> None:
    with StreamOmni(url) as direct:
        reply = direct.chat("hello", output="speech", max_tokens=TOKENS)
    with talk(client) as session:
        session.write("hello", max_output_tokens=TOKENS)
        done = session.until("response.done").response
    assert session.text() == done.output[0].content[0].transcript == reply.text
    assert reply.audio is not None
    resampler = Resampler(reply.audio.sample_rate_hz, 24_000)
    expected = np.concatenate([resampler.add(reply.audio.samples), resampler.finish()])
    assert np.array_equal(sound_of(session, done.id), expected)


def test_the_asynchronous_client_with_a_picture_and_a_second_question(pipeline: GatewayProcess) -> None:
    async def converse() -> list[Any]:
        async with (
            AsyncOpenAI(base_url=f"{pipeline.url}/v1", api_key="none") as client,
            client.realtime.connect(model="stream-omni") as connection,
            asyncio.timeout(60),
        ):
            await connection.session.update(session={"type": "realtime", "max_output_tokens": TOKENS})
            events: list[Any] = []
            for words in ("What is it?", "And now?"):
                content: list[Any] = [{"type": "input_text", "text": words}]
                if not events:
                    address = "data:image/png;base64," + base64.b64encode(PICTURE.read_bytes()).decode()
                    content.append({"type": "input_image", "image_url": address})
                await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
                await connection.response.create(response={"output_modalities": ["text"]})
                async for event in connection:
                    events.append(event)
                    if event.type == "response.done":
                        break
            return events

    events = asyncio.run(converse())
    first, second = (event.response for event in events if event.type == "response.done")
    assert first.status == second.status == "incomplete"
    # the picture is looked at again, and the first turn is history
    assert second.usage.input_tokens > first.usage.input_tokens > 100
    assert not [event for event in events if event.type == "error"]


def test_speaking_over_an_answer_ends_it_and_gets_another(client: OpenAI) -> None:
    with talk(client) as session:
        session.say(np.concatenate([spoken_question(), silence(0.6)]))
        session.until("response.output_audio_transcript.delta")
        session.say(np.concatenate([spoken_question(), silence(0.8)]))
        first = session.until("response.done").response
        second = session.until("response.created").response
        session.connection.response.cancel()
        assert session.until("response.done").response.id == second.id
    assert (first.status, first.status_details.reason) == ("cancelled", "turn_detected")
    assert not session.all("error")


def test_silence_is_refused_by_the_server_with_its_reason(client: OpenAI) -> None:
    with talk(client) as session:
        session.update(audio={"input": {"turn_detection": None}})
        session.say(silence(1))
        session.connection.input_audio_buffer.commit()
        session.connection.response.create()
        assert "check the microphone" in session.until("error").error.message
        assert session.until("response.done").response.status == "failed"


def test_a_prompt_too_long_for_the_context_is_shortened(client: OpenAI) -> None:
    """The session knows the server's refusal by its words, so they must stay."""
    with talk(client) as session:
        for number in range(40):
            content: Any = [{"type": "input_text", "text": f"{number} " + "left right up down " * 60}]
            session.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        session.write("hello", output_modalities=["text"], max_output_tokens=TOKENS)
        done = session.until("response.done").response
        assert done.status == "incomplete"
        session.update(truncation="disabled")
        session.write("hello", output_modalities=["text"], max_output_tokens=TOKENS)
        assert "the context holds" in session.until("error").error.message
