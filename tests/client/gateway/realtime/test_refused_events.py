"""What a session refuses, by name and without an end; and turns that fail in it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from openai import OpenAI

from tests.client.gateway.gateway_process import GatewayProcess
from tests.client.gateway.realtime.talk import Talk, refusal, silence, still_answers, talk


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        (
            {"type": "session.update", "session": {"tools": [{"type": "function"}]}},
            "unsupported_parameter",
            "session.tools",
        ),
        ({"type": "session.update", "session": {"colour": 1}}, "unknown_parameter", "session.colour"),
        ({"type": "session.update", "session": {"type": "transcription"}}, "unsupported_parameter", "session.type"),
        ({"type": "session.update", "session": {"model": "gpt-realtime"}}, "unsupported_parameter", "session.model"),
        ({"type": "session.update"}, "invalid_type", "session"),
        (
            {"type": "session.update", "session": {"output_modalities": ["text", "audio"]}},
            "invalid_value",
            "session.output_modalities",
        ),
        (
            {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}},
            "unsupported_parameter",
            "session.audio.input.turn_detection.type",
        ),
        (
            {
                "type": "session.update",
                "session": {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
            },
            "invalid_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {
                "type": "session.update",
                "session": {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            },
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            {"type": "session.update", "session": {"audio": {"output": {"voice": "marin"}}}},
            "invalid_value",
            "session.audio.output.voice",
        ),
        ({"type": "session.update", "session": {"max_output_tokens": 0}}, "invalid_value", "session.max_output_tokens"),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_base64", "audio"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": base64.b64encode(b"odd").decode()}, None, "audio"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
        ({"type": "conversation.item.create", "item": {"type": "function_call"}}, "unsupported_parameter", "item.type"),
        (
            {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": []}},
            None,
            "item.content",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "https://example.org/a.png"}],
                },
            },
            "invalid_image_url",
            "item.content[0].image_url",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "assistant", "content": [{"type": "output_audio"}]},
            },
            None,
            "item.content[0].type",
        ),
        ({"type": "conversation.item.truncate", "item_id": "x"}, "item_not_found", "item_id"),
        ({"type": "conversation.item.retrieve", "item_id": "x"}, "unknown_event", "type"),
        ({"type": "response.create", "response": {"tools": [{}]}}, "unsupported_parameter", "response.tools"),
        ({"type": "response.create", "response": {"metadata": {"a": 1}}}, None, "response.metadata"),
        ({"type": "response.create"}, "nothing_to_answer", None),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
        ({"type": "sing"}, "unknown_event", "type"),
        ({}, "missing_required_parameter", "type"),
    ],
    ids=lambda value: json.dumps(value)[:80] if isinstance(value, dict) else "",
)
def test_a_refused_event_is_named_and_changes_nothing(
    refusing: Talk, event: dict[str, Any], code: str | None, param: str | None
) -> None:
    before = refusing.update()
    refusing.connection.send({**event, "event_id": "mine"})  # type: ignore[arg-type]
    error = refusal(refusing)
    assert (error.type, error.code, error.param, error.event_id) == ("invalid_request_error", code, param, "mine")
    assert " " in error.message
    assert refusing.update() == before


@pytest.fixture(scope="module")
def refusing(gateway: GatewayProcess) -> Any:
    """One session for all refusals: each keeps it."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client, talk(client) as session:
        yield session
        assert still_answers(session)


@pytest.mark.parametrize("text", ["{", "[]", "null", '"hello"', "[" * 100_000, "\ud800"])
def test_what_is_no_json_object_is_an_error(refusing: Talk, text: str) -> None:
    refusing.connection._connection.send(text.encode("utf-8", "surrogatepass"))
    assert refusal(refusing).code == "invalid_json"


def test_two_answers_at_once_are_refused(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.write("sing")
        session.until("response.output_audio.delta")
        session.connection.response.create()
        assert refusal(session).code == "conversation_already_has_active_response"
        session.connection.response.cancel()
        session.until("response.done")
        assert still_answers(session)


@pytest.mark.parametrize(
    ("question", "kind", "code"),
    [
        ("refuse INVALID_ARG INVALID_ARGUMENT: The text is bad.", "invalid_request_error", None),
        ("refuse UNAVAILABLE OVERLOADED retry_after_ms=2000: Full.", "rate_limit_error", "server_overloaded"),
        ("refuse UNAVAILABLE DRAINING retry_after_ms=900: Ending.", "server_error", "server_draining"),
        ("break", "server_error", "server_error"),
        ("vanish", "server_error", "server_error"),
    ],
)
def test_a_turn_that_fails_is_an_error_and_a_failed_response(
    openai: OpenAI, question: str, kind: str, code: str | None
) -> None:
    with talk(openai) as session:
        session.write(question, output_modalities=["text"])
        error = refusal(session)
        done = session.until("response.done").response
        assert (error.type, error.code) == (kind, code)
        assert (done.status, done.status_details.error.code) == ("failed", code)
        assert "REASON" not in error.message and ":" not in error.message.split(" ")[0]
        if code == "server_overloaded":
            assert error.retry_after_ms == 2000
        assert still_answers(session)


def test_a_buffer_that_is_full_says_so_once(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.update(audio={"input": {"turn_detection": None}})
        session.say(silence(32))
        assert refusal(session).code == "input_audio_buffer_full"
        session.connection.input_audio_buffer.commit()
        session.until("input_audio_buffer.committed")
        assert len(session.all("error")) == 1
