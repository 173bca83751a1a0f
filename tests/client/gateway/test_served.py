"""The whole way: OpenAI's package, the gateway, tritonserver, and the pipeline on a tiny random checkpoint."""

from __future__ import annotations

import base64
import io
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from openai import APIError, BadRequestError, OpenAI, RateLimitError
from stream_omni_client import StreamOmni

from stream_omni.serving.launcher import TritonServer
from tests.client.gateway.conftest import MODEL
from tests.client.gateway.gateway_process import GatewayProcess, gateway_process, until
from tests.serving.variants import served_with

MEDIA = Path(__file__).parents[3] / "build" / "demo" / "media"
QUESTION, PICTURE = MEDIA / "question.wav", MEDIA / "picture.png"
SHORT: dict[str, Any] = {"max_audio_ms": 400}  # random weights know no end


def asked(*parts: Any) -> Any:
    return [{"role": "user", "content": list(parts)}]


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


SOUND = {"type": "input_audio", "input_audio": {"data": encoded(QUESTION), "format": "wav"}}
SHOWN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(PICTURE)}"}}


@pytest.fixture(scope="module")
def served(url: str) -> Iterator[GatewayProcess]:
    with gateway_process(url) as process:
        yield process


@pytest.fixture
def client(served: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def direct(url: str) -> Iterator[StreamOmni]:
    with StreamOmni(url) as client:
        yield client


def test_a_spoken_question_about_a_picture_is_answered_as_the_sdk_has_it(client: OpenAI, direct: StreamOmni) -> None:
    """Sample by sample, for the same question and seed."""
    expected = direct.chat(audio=QUESTION, image=PICTURE, output="speech", max_tokens=8, max_audio_ms=400)
    answer = client.chat.completions.create(
        model=MODEL,
        messages=asked(SHOWN, SOUND),
        modalities=["text", "audio"],
        audio={"voice": "default", "format": "wav"},
        max_completion_tokens=8,
        extra_body=SHORT,
    )
    choice, audio = answer.choices[0], answer.choices[0].message.audio
    assert choice.message.model_extra == {"input_audio_transcript": expected.transcript}
    assert audio is not None and expected.audio is not None
    assert (audio.transcript, choice.finish_reason) == (expected.text, expected.finish_reason)
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(audio.data)), dtype="int16")
    assert rate_hz == expected.audio.sample_rate_hz
    np.testing.assert_array_equal(samples, expected.audio.samples)
    usage = answer.usage
    assert usage is not None and usage.prompt_tokens_details is not None and usage.completion_tokens_details is not None
    assert usage.prompt_tokens == expected.usage["prompt_tokens"] > 0
    assert usage.prompt_tokens_details.audio_tokens == expected.usage["question_units"] > 0
    assert usage.completion_tokens_details.audio_tokens == expected.usage["speech_units"] == 10


def test_streamed_it_is_the_same(client: OpenAI, direct: StreamOmni) -> None:
    expected = direct.chat(audio=QUESTION, output="speech", max_tokens=8, max_audio_ms=400)
    text, data, heard = "", b"", ""
    for chunk in client.chat.completions.create(
        model=MODEL,
        messages=asked(SOUND),
        modalities=["text", "audio"],
        audio={"voice": "default", "format": "wav"},
        max_completion_tokens=8,
        stream=True,
        extra_body=SHORT,
    ):
        delta = chunk.choices[0].delta
        heard += (delta.model_extra or {}).get("input_audio_transcript", "")
        if delta.audio is not None:
            text += delta.audio.transcript or ""
            data += base64.b64decode(delta.audio.data or "")
    assert expected.audio is not None
    assert (heard, text) == (expected.transcript, expected.text)
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(data), dtype="int16")[0], expected.audio.samples)


def test_speech_is_the_words_themselves(client: OpenAI, direct: StreamOmni) -> None:
    expected = direct.speak("Good morning.", max_audio_ms=400).audio
    speech = client.audio.speech.create(
        model=MODEL, input="Good morning.", voice="default", response_format="wav", extra_body=SHORT
    )
    samples, _ = soundfile.read(io.BytesIO(speech.content), dtype="int16")
    assert expected is not None
    np.testing.assert_array_equal(samples, expected.samples)


def test_a_transcript_is_the_servers(client: OpenAI, direct: StreamOmni) -> None:
    expected = direct.transcribe(QUESTION).transcript
    assert client.audio.transcriptions.create(model=MODEL, file=QUESTION).text == expected
    *deltas, last = list(client.audio.transcriptions.create(model=MODEL, file=QUESTION, stream=True))
    assert "".join(getattr(event, "delta", "") for event in deltas) == expected
    assert last.type == "transcript.text.done" and last.text == expected


def test_models_and_refusals_are_the_servers(client: OpenAI, direct: StreamOmni) -> None:
    model = client.models.retrieve(MODEL)
    assert model.model_extra is not None and model.model_extra["voices"] == direct.voices()
    hello: Any = [{"role": "user", "content": "hello"}]
    with pytest.raises(BadRequestError, match="there is no voice 'alloy'; the voices are default"):
        client.chat.completions.create(
            model=MODEL, messages=hello, modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}
        )
    with pytest.raises(BadRequestError, match="text is empty"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": " "}])


def test_two_kinds_of_clients_at_once_do_not_disturb_each_other(client: OpenAI, direct: StreamOmni) -> None:
    """The SDK and the gateway, each some turns of its own: every one is answered as it is alone."""
    names = ["one", "two", "three"]

    def by_sdk(name: str) -> str:
        return direct.chat(name, max_tokens=12).text

    def by_gateway(name: str) -> str:
        answer = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": name}], max_tokens=12
        )
        return answer.choices[0].message.content or ""

    alone = [by_sdk(name) for name in names]
    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask, name) for ask in (by_sdk, by_gateway) for name in names]
        assert [asked_for.result() for asked_for in asking] == alone * 2


@pytest.fixture
def narrow(built_directory: Path, tmp_path: Path) -> Iterator[TritonServer]:
    with served_with(built_directory, tmp_path, slots=1, waiting=0, wait_s=1.0) as server:
        yield server


def test_a_full_server_refuses_with_its_hint_and_a_killed_one_ends_the_stream(narrow: TritonServer) -> None:
    with (
        gateway_process(narrow.grpc_url, "--idle-timeout", "5") as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        with client.audio.speech.with_streaming_response.create(
            model=MODEL, input="again", voice="default", response_format="pcm", extra_body={"max_audio_ms": 160_000}
        ) as speech:
            pieces = speech.iter_bytes()
            next(pieces)
            with pytest.raises(RateLimitError) as caught:
                client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
            assert caught.value.code == "server_overloaded"
            assert 100 <= int(caught.value.response.headers["retry-after-ms"]) <= 60_000
        hello: Any = [{"role": "user", "content": "hello"}]
        answer = client.with_options(max_retries=8).chat.completions.create(model=MODEL, messages=hello, max_tokens=4)
        assert answer.usage is not None, "who left has given his place back"
        stream = client.chat.completions.create(
            model=MODEL,
            messages=hello,
            modalities=["text", "audio"],
            audio={"voice": "default", "format": "pcm16"},
            stream=True,
            extra_body={"max_audio_ms": 160_000},
        )
        next(stream)
        assert narrow.process is not None
        narrow.process.send_signal(signal.SIGKILL)
        with pytest.raises(APIError) as broken:
            list(stream)
        assert broken.value.code in ("no_server", "timeout")
        until(lambda: gateway.line(reason=broken.value.code))
