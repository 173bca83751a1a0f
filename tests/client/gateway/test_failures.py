"""However a turn ends badly, the caller gets a typed error in time; and whoever leaves takes his turn with him."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from openai import (
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    BadRequestError,
    InternalServerError,
    OpenAI,
    RateLimitError,
)
from stream_omni_client import StreamOmni

from stream_omni.serving.launcher import TritonServer
from tests.client.gateway.conftest import MODEL
from tests.client.gateway.gateway_process import GatewayProcess, gateway_process, until


def said(words: str) -> Any:
    return [{"role": "user", "content": words}]


@pytest.mark.parametrize(
    ("refusal", "kind", "status", "code", "hint_ms"),
    [
        ("INVALID_ARG INVALID_ARGUMENT: text is empty; say something", BadRequestError, 400, None, None),
        ("UNAVAILABLE OVERLOADED retry_after_ms=1500: full", RateLimitError, 429, "server_overloaded", "1500"),
        ("UNAVAILABLE OVERLOADED retry_after_ms=0: full", RateLimitError, 429, "server_overloaded", "1000"),
        ("UNAVAILABLE DRAINING retry_after_ms=2500: ending", InternalServerError, 503, "server_draining", "2500"),
        ("UNAVAILABLE DEADLINE: not over in 10 s", InternalServerError, 504, "timeout", None),
        ("INVALID_ARG UNAUTHENTICATED: who?", InternalServerError, 500, "gateway_not_let_in", None),
        ("INTERNAL INTERNAL: the stage llm failed", InternalServerError, 500, "server_error", None),
        ("INTERNAL /opt/x.py line 7 no reason", InternalServerError, 500, "server_error", None),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_each_reason_has_its_status(
    openai: OpenAI,
    refusal: str,
    kind: type[APIStatusError],
    status: int,
    code: str | None,
    hint_ms: str | None,
    is_streamed: bool,
) -> None:
    """Streamed answers too: what fails before the first event is no event."""
    with pytest.raises(kind) as caught:
        openai.chat.completions.create(model=MODEL, messages=said(f"refuse {refusal}"), stream=is_streamed)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.request_id
    headers = caught.value.response.headers
    assert headers.get("retry-after-ms") == hint_ms
    assert headers.get("x-should-retry") == ("false" if code in ("timeout", "gateway_not_let_in") else None)
    assert "/opt" not in str(caught.value)


def test_the_packages_own_retries_follow_the_hint(gateway: GatewayProcess) -> None:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=1) as client:
        began_s = time.monotonic()
        with pytest.raises(RateLimitError):
            client.chat.completions.create(
                model=MODEL, messages=said("refuse UNAVAILABLE OVERLOADED retry_after_ms=1200: full")
            )
        assert 1.2 <= time.monotonic() - began_s < 5


def test_a_failure_in_the_middle_is_an_event_that_says_so(openai: OpenAI, gateway: GatewayProcess) -> None:
    stream = openai.chat.completions.create(model=MODEL, messages=said("break"), stream=True)
    text = ""
    with pytest.raises(APIError, match="llm is gone") as caught:
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert (text, caught.value.code, caught.value.type) == ("half of it", "server_error", "server_error")
    assert gateway.line(reason="server_error", status=200)["turn"]
    with pytest.raises(InternalServerError, match="llm is gone"):
        openai.chat.completions.create(model=MODEL, messages=said("break"))


@pytest.fixture(scope="module")
def hasty(protocol_url: str) -> Iterator[GatewayProcess]:
    """A gateway that waits for nothing."""
    with gateway_process(
        protocol_url, "--first-event-timeout", "0.4", "--idle-timeout", "0.4", "--turn-timeout", "1.5"
    ) as process:
        yield process


def test_silence_is_a_timeout(hasty: GatewayProcess, protocol_url: str) -> None:
    before = cancelled_turns(protocol_url)
    with OpenAI(base_url=f"{hasty.url}/v1", api_key="none", max_retries=2) as client:
        with pytest.raises(InternalServerError, match=r"nothing came within 0\.4 s") as caught:
            client.chat.completions.create(model=MODEL, messages=said("silent"))
        assert (caught.value.status_code, caught.value.code) == (504, "timeout")
        assert protocol_url not in str(caught.value), "where the server is, is nobody's business"
        stream = client.chat.completions.create(model=MODEL, messages=said("pause"), stream=True)
        with pytest.raises(APIError, match=r"nothing more came for 0\.4 s") as broken:
            list(stream)
        assert broken.value.code == "timeout"
    until_s = time.monotonic() + 5  # a cancel travels, too
    while cancelled_turns(protocol_url) < before + 2 and time.monotonic() < until_s:
        time.sleep(0.05)
    time.sleep(0.5)
    assert cancelled_turns(protocol_url) == before + 2, "one try each: another one would take as long"


def test_an_answer_without_end_is_ended(hasty: GatewayProcess) -> None:
    with OpenAI(base_url=f"{hasty.url}/v1", api_key="none", max_retries=0) as client:
        began_s = time.monotonic()
        with pytest.raises(APIError):
            list(client.chat.completions.create(model=MODEL, messages=said("endless"), stream=True))
        assert time.monotonic() - began_s < 5


def leave_stream(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=said("endless"), stream=True) as stream:
        next(stream)


def leave_silent_stream(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=said("pause"), stream=True) as stream:
        next(stream)


def leave_before_the_first_event(client: OpenAI) -> None:
    with pytest.raises(APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model=MODEL, messages=said("silent"), stream=True)


def leave_whole(client: OpenAI) -> None:
    with pytest.raises(APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model=MODEL, messages=said("endless"))


def leave_speech(client: OpenAI) -> None:
    with pytest.raises(APITimeoutError):
        client.with_options(timeout=0.5).audio.speech.create(model=MODEL, input="pause", voice="default")


def leave_by_cancelling(client: OpenAI) -> None:
    async def leave() -> None:
        async with AsyncOpenAI(base_url=client.base_url, api_key="none", max_retries=0) as asynchronous:
            asking = asyncio.create_task(asynchronous.chat.completions.create(model=MODEL, messages=said("endless")))
            await asyncio.sleep(0.3)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(leave())


@pytest.mark.parametrize(
    "leave",
    [
        leave_stream,
        leave_silent_stream,
        leave_before_the_first_event,
        leave_whole,
        leave_speech,
        leave_by_cancelling,
    ],
)
def test_who_leaves_frees_his_turn_at_once(
    openai: OpenAI, gateway: GatewayProcess, protocol_url: str, leave: Callable[[OpenAI], None]
) -> None:
    before, lines = cancelled_turns(protocol_url), len(gateway.lines)
    leave(openai)
    until(lambda: cancelled_turns(protocol_url) == before + 1, timeout_s=2)
    line = until(lambda: next(iter(gateway.lines[lines:]), None))
    assert (line["status"], line["reason"]) == (499, "client_left")


def test_a_dead_server_is_told_in_time_and_a_new_one_found(own_server: TritonServer) -> None:
    """Killed in the middle of a stream: the stream ends by an error, further requests by 503, and health says it."""
    with (
        gateway_process(own_server.grpc_url, "--idle-timeout", "2") as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=20) as client,
    ):
        stream = client.chat.completions.create(model=MODEL, messages=said("endless"), stream=True)
        next(stream)
        assert own_server.process is not None
        os.kill(own_server.process.pid, signal.SIGKILL)
        began_s = time.monotonic()
        with pytest.raises(APIError) as caught:
            list(stream)
        assert caught.value.code in ("no_server", "timeout")
        assert time.monotonic() - began_s < 5
        with pytest.raises(InternalServerError) as refused:
            client.chat.completions.create(model=MODEL, messages=said("hello"))
        assert (refused.value.status_code, refused.value.code) == (503, "no_server")
        assert own_server.grpc_url not in str(refused.value)
        with pytest.raises(HTTPError) as unready:
            urlopen(f"{gateway.url}/health/ready")
        assert (unready.value.code, json.loads(unready.value.read())["status"]) == (503, "unavailable")
        assert urlopen(f"{gateway.url}/health/live").status == 200
        own_server.stop()
        own_server.start()
        answer = until(lambda: answered(client), timeout_s=20)
        assert answer.choices[0].finish_reason == "stop"


def answered(client: OpenAI) -> Any:
    try:
        return client.chat.completions.create(model=MODEL, messages=said("hello"))
    except InternalServerError:
        return None


def cancelled_turns(url: str) -> int:
    with StreamOmni(url) as client:
        return int(client.chat("cancelled").text)
