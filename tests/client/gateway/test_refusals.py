"""What cannot be done is said before anything is done: which field it is, and what is wrong with it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from stream_omni_client.gateway.api_errors import ApiError
from stream_omni_client.gateway.chat_request import IGNORED, REFUSED, read_chat_request
from stream_omni_client.gateway.settings import Settings
from stream_omni_client.gateway.speech import read_speech_request

from tests.client.gateway.conftest import MODEL

HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
SOUND = {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"x").decode(), "format": "wav"}}


def messages(*contents: Any) -> dict[str, Any]:
    """Of the user and the assistant by turns."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]}


@pytest.mark.parametrize(
    ("change", "param", "complaint"),
    [
        ({"n": 2}, "n", "has no n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "has no tools"),
        ({"logprobs": True}, "logprobs", "has no logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format", "has no response_format"),
        ({"stop": ["."]}, "stop", "has no stop"),
        ({"presence_penalty": 0.5}, "presence_penalty", "has no presence_penalty"),
        ({"colour": "red"}, "colour", "Unrecognized request argument"),
        ({"temperature": 3}, "temperature", "0 to 2"),
        ({"temperature": "hot"}, "temperature", "is not a number"),
        ({"max_tokens": 0}, "max_tokens", "1 to"),
        ({"max_tokens": 2.5}, "max_tokens", "whole number"),
        ({"max_tokens": True}, "max_tokens", "whole number"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens", "send one"),
        ({"seed": 2**63}, "seed", "it can be"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "send stream: true"),
        ({"modalities": ["audio"]}, "modalities", "can be"),
        ({"modalities": ["text", "audio"]}, "audio", "need audio"),
        ({"audio": {"voice": "default", "format": "wav"}}, "audio", "ask for modalities"),
        ({"modalities": ["text", "audio"], "audio": {"format": "aac"}}, "audio.format", "it can be"),
        ({"max_audio_ms": 100}, "max_audio_ms", "ask for modalities"),
        ({"model": None}, "model", "is missing"),
        ({"messages": None}, "messages", "is missing"),
        ({"messages": []}, "messages", "no message of the user's"),
        ({"messages": "hello"}, "messages", "is not a list"),
        ({"messages": ["hello"]}, "messages[0]", "is not an object"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "is missing"),
        ({"messages": [{"role": "tool", "content": "4"}]}, "messages[0].role", "calls no tools"),
        ({"messages": [{"role": "king", "content": "4"}]}, "messages[0].role", "it can be"),
        (messages("a", "b"), "messages[1].role", "has to be the user's"),
        (messages("a", None, "b"), "messages[1].content", "send what was answered"),
        (messages([]), "messages[0].content", "neither text nor input_audio"),
        (messages([{"type": "video"}]), "messages[0].content[0].type", "it can be"),
        (messages([{"type": "text"}]), "messages[0].content[0].text", "is missing"),
        (messages([{"type": "file", "file": {}}]), "messages[0].content[0].file", "reads no files"),
        (messages([SOUND, SOUND]), "messages[0].content[1].input_audio", "one input_audio"),
        (messages([SOUND], "b", "c"), "messages[0].content[0].input_audio.data", "input_audio_transcript"),
        (
            messages([{"type": "input_audio", "input_audio": {"data": "?"}}]),
            "messages[0].content[0].input_audio.data",
            "is not base64",
        ),
        (
            messages([{"type": "image_url", "image_url": {"url": "data:image/png,x"}}]),
            "messages[0].content[0].image_url.url",
            "no data URL of base64",
        ),
        (
            {"messages": [*HELLO["messages"], {"role": "system", "content": "x"}, *HELLO["messages"]]},
            "messages[1].role",
            "can only come before",
        ),
    ],
)
def test_a_chat_that_cannot_be(change: dict[str, Any], param: str, complaint: str) -> None:
    with pytest.raises(ApiError, match=complaint.replace("(", r"\(")) as caught:
        read_chat_request({**HELLO, **change}, Settings())
    assert (caught.value.status, caught.value.kind, caught.value.param) == (400, "invalid_request_error", param)


def test_what_changes_nothing_is_taken() -> None:
    """Neutral values of what there is not, and what only OpenAI's own service has a use for."""
    nothing: dict[str, Any] = {"n": 1, "tools": [], "tool_choice": "auto", "functions": [], "function_call": "none"}
    nothing |= {"response_format": {"type": "text"}, "logprobs": False, "top_logprobs": 0, "logit_bias": {}}
    nothing |= {"frequency_penalty": 0, "presence_penalty": 0.0, "stop": None, "store": False, "verbosity": "medium"}
    nothing |= {"reasoning_effort": "none", "prediction": None, "moderation": None, "web_search_options": None}
    assert nothing.keys() == REFUSED.keys()
    ignored: dict[str, Any] = dict.fromkeys(IGNORED, "x") | {"metadata": {"a": "b"}, "prompt_cache_options": {}}
    read_chat_request({**HELLO, **nothing, **ignored}, Settings())


@pytest.mark.parametrize(
    ("change", "param", "complaint"),
    [
        ({"input": None}, "input", "is missing"),
        ({"input": "x" * 4097}, "input", "4096"),
        ({"speed": 1.5}, "speed", "own speed"),
        ({"instructions": "Whisper."}, "instructions", "no instructions"),
        ({"response_format": "aac"}, "response_format", "it can be mp3, opus, flac, wav, pcm"),
        ({"stream_format": "xml"}, "stream_format", "it can be"),
        ({"voice": 7}, "voice", "is not a string"),
        ({"language": "en"}, "language", "Unrecognized"),
    ],
)
def test_speech_that_cannot_be(change: dict[str, Any], param: str, complaint: str) -> None:
    with pytest.raises(ApiError, match=complaint) as caught:
        read_speech_request({"model": MODEL, "input": "Hi.", "voice": "default", **change}, Settings())
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": "Names: Ada"}, "prompt"),
        ({"response_format": "srt"}, "response_format"),
        ({"timestamp_granularities": ["word"], "response_format": "verbose_json"}, "timestamp_granularities"),
        ({"include": ["logprobs"]}, "include"),
        ({"temperature": 0.5}, "temperature"),
        ({"stream": True, "response_format": "text"}, "response_format"),
    ],
)
def test_transcripts_that_cannot_be(openai: OpenAI, question: Path, options: Any, param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        openai.audio.transcriptions.create(model=MODEL, file=question, **options)
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")


def test_a_sound_that_is_none(openai: OpenAI, tmp_path: Path) -> None:
    (tmp_path / "question.mp4").write_bytes(b"no sound at all")
    with pytest.raises(BadRequestError, match="WAV, FLAC, OGG, MP3") as caught:
        openai.audio.transcriptions.create(model=MODEL, file=tmp_path / "question.mp4")
    assert (caught.value.param, caught.value.code) == ("file", "invalid_audio")


def test_a_sound_that_unpacks_to_hours_is_not_unpacked(openai: OpenAI, tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "silence.flac", np.zeros(8000 * 600, np.int16), 8000)
    assert (tmp_path / "silence.flac").stat().st_size < 100_000
    with pytest.raises(BadRequestError, match="more than 60 s"):
        openai.audio.transcriptions.create(model=MODEL, file=tmp_path / "silence.flac")


def test_an_unknown_model(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="does not exist here") as caught:
        openai.chat.completions.create(model="gpt-4o-audio-preview", messages=HELLO["messages"])  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.request_id and caught.value.request_id.startswith("req_")


def test_pictures_by_address_are_not_fetched_unless_the_operator_wants_it(openai: OpenAI) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/picture.png"}}
    with pytest.raises(BadRequestError, match="data URL") as caught:
        openai.chat.completions.create(model=MODEL, **messages([{"type": "text", "text": "hello"}, part]))
    assert caught.value.param == "messages[0].content[1].image_url.url"
