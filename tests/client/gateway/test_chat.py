"""Chat completions by OpenAI's own package: what goes in reaches the server, what comes out is as OpenAI's."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from openai import AsyncOpenAI, OpenAI

from tests.client.gateway.conftest import MODEL
from tests.client.gateway.gateway_process import GatewayProcess

TEXT, HEARD = "Grüße, 世界", "what is this"
HELLO: Any = [{"role": "user", "content": "hello"}]
REPORT: Any = [{"role": "user", "content": "report"}]
PICTURE = "data:image/png;base64," + base64.b64encode(b"a picture").decode()


def spoken(path: Path) -> dict[str, Any]:
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def asked(*parts: dict[str, Any]) -> Any:
    return [{"role": "user", "content": list(parts)}]


def test_a_written_question(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(model=MODEL, messages=HELLO)
    choice = answer.choices[0]
    assert (answer.object, answer.model, answer.id[:9], choice.index) == ("chat.completion", MODEL, "chatcmpl-", 0)
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", TEXT, "stop")
    assert choice.message.audio is None
    assert not hasattr(choice.message, "input_audio_transcript")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)


def test_streamed(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    assert {(chunk.object, chunk.id) for chunk in chunks} == {("chat.completion.chunk", chunks[0].id)}
    *deltas, last = chunks
    assert deltas[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in deltas) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in deltas] == [None] * (len(deltas) - 1) + ["stop"]
    assert (last.choices, last.usage and last.usage.total_tokens) == ([], 10)


def test_usage_is_streamed_only_where_it_is_wanted(openai: OpenAI) -> None:
    chunks = openai.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    assert [chunk.usage for chunk in chunks if chunk.usage] == []


def test_a_spoken_question_and_a_spoken_answer(openai: OpenAI, question: Path) -> None:
    answer = openai.chat.completions.create(
        model=MODEL,
        messages=asked(spoken(question)),
        modalities=["text", "audio"],
        audio={"voice": "default", "format": "wav"},
    )
    message = answer.choices[0].message
    assert message.model_extra and message.model_extra["input_audio_transcript"] == HEARD
    assert message.content is None
    assert message.audio is not None
    assert (message.audio.transcript, message.audio.expires_at) == (TEXT, answer.created)
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(message.audio.data)), dtype="int16")
    assert rate_hz == 22_050
    np.testing.assert_array_equal(samples, np.arange(8820))


def test_a_spoken_answer_streamed_as_pcm16(openai: OpenAI, question: Path) -> None:
    heard, text, data, ends = "", "", b"", []
    for chunk in openai.chat.completions.create(
        model=MODEL,
        messages=asked(spoken(question)),
        modalities=["text", "audio"],
        audio={"voice": "default", "format": "pcm16"},
        stream=True,
    ):
        delta = chunk.choices[0].delta
        heard += (delta.model_extra or {}).get("input_audio_transcript") or ""
        assert not (heard == "" and text), "the transcript comes before the answer"
        if delta.audio is not None:
            text += delta.audio.transcript or ""
            data += base64.b64decode(delta.audio.data or "")
            ends += [delta.audio.expires_at] if delta.audio.expires_at else []
    assert (heard, text, ends) == (HEARD, TEXT, [chunk.created])
    samples = np.frombuffer(data, "<i2")  # of 24 kHz: the server's ramp of 8820 samples rises by one each 1/22050 s
    assert len(samples) == 9600
    middle = np.arange(100, 9500)
    np.testing.assert_allclose(samples[middle], middle * 22_050 / 24_000, atol=1)


@pytest.mark.parametrize("sound_format", ["mp3", "opus", "flac", "wav"])
def test_other_formats_stream_as_one_file(openai: OpenAI, sound_format: Any) -> None:
    chunks = openai.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        modalities=["text", "audio"],
        audio={"voice": "default", "format": sound_format},
        stream=True,
    )
    deltas = [chunk.choices[0].delta.audio for chunk in chunks]
    data = b"".join(base64.b64decode(audio.data) for audio in deltas if audio and audio.data)
    samples, rate_hz = soundfile.read(io.BytesIO(data))
    assert len(samples) / rate_hz == pytest.approx(0.4, abs=0.12)


def test_every_parameter_reaches_the_server(openai: OpenAI) -> None:
    sent = received(
        openai,
        [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            *asked({"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": PICTURE}}),
            {"role": "assistant", "content": "two"},
            *asked({"type": "text", "text": "report this"}, {"type": "text", "text": "three"}),
        ],
        modalities=["text", "audio"],
        audio={"voice": {"id": "英文女"}, "format": "wav"},
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.25,
        seed=-1,
        extra_body={"max_audio_ms": 900},
    )
    scalars = {name: value["first"] for name, value in sent.items() if isinstance(value, dict)}
    assert scalars == {"max_tokens": 7, "max_audio_ms": 900, "temperature": 0.5, "top_p": 0.25, "seed": 2**64 - 1}
    history = [{"role": "user", "text": "one"}, {"role": "assistant", "text": "two"}]
    assert {name: value for name, value in sent.items() if isinstance(value, list)} == {
        "task": ["answer"],
        "text": ["report this\nthree"],
        "system": ["Be brief.\n\nBe kind."],
        "history": [json.dumps(history)],
        "image": ["a picture"],
        "output": ["speech"],
        "voice": ["英文女"],
    }


def test_what_is_left_away_the_server_decides(openai: OpenAI) -> None:
    assert received(openai, REPORT).keys() == {"task", "text", "output"}


def test_only_answers_by_chance_get_a_seed_of_their_own(openai: OpenAI) -> None:
    first, second = (received(openai, REPORT, temperature=0.7)["seed"]["first"] for _ in range(2))
    assert first != second
    assert "seed" not in received(openai, REPORT, temperature=0)


def test_a_conversation_by_appended_messages(openai: OpenAI, question: Path) -> None:
    """As users of the package do it: the message that came goes back as it is. What was spoken goes on as words."""
    messages = asked({"type": "text", "text": "Listen:"}, spoken(question))
    speech: list[Any] = [["text"], ["text", "audio"]]
    for modalities in speech:
        answer = openai.chat.completions.create(
            model=MODEL,
            messages=messages,
            modalities=modalities,
            audio={"voice": "default", "format": "wav"} if "audio" in modalities else None,
        )
        messages += [answer.choices[0].message, *asked(spoken(question))]
    history = json.loads(received(openai, [*messages[:-1], *REPORT])["history"][0])
    answered = {"role": "assistant", "text": TEXT}
    assert history == [
        {"role": "user", "text": "Listen:"},
        {"role": "user", "text": HEARD},
        answered,
        {"role": "user", "text": HEARD},
        answered,
    ]


def test_asynchronously_and_many_at_once(gateway: GatewayProcess, question: Path) -> None:
    async def ask(client: AsyncOpenAI, number: int) -> tuple[str, dict[str, Any]]:
        text = ""
        async with await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        messages: Any = [{"role": "user", "content": f"report {number}"}]
        answer = await client.chat.completions.create(model=MODEL, messages=messages)
        return text, json.loads(answer.choices[0].message.content or "")

    async def ask_all() -> list[tuple[str, dict[str, Any]]]:
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(8)))

    answers = asyncio.run(ask_all())
    assert [text for text, _ in answers] == [TEXT] * 8
    assert [report["text"] for _, report in answers] == [[f"report {number}"] for number in range(8)]


def received(client: OpenAI, messages: Any, **options: Any) -> dict[str, Any]:
    """The inputs as the server saw them."""
    answer = client.chat.completions.create(model=MODEL, messages=messages, **options)
    message = answer.choices[0].message
    report: dict[str, Any] = json.loads((message.audio.transcript if message.audio else message.content) or "")
    return report
