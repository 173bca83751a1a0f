"""However a turn ends badly, the caller gets a typed error in time, and the server is told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from stream_omni_client import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerError,
    StreamOmni,
    StreamOmniError,
    TextDelta,
    Unauthenticated,
)
from stream_omni_client.connection import Connection
from stream_omni_client.settings import choose_settings

from stream_omni.serving.launcher import TritonServer


@pytest.mark.parametrize(
    ("refusal", "kind", "sentence"),
    [
        (
            "INVALID_ARG INVALID_ARGUMENT: The text is empty; say something.",
            InvalidRequest,
            "The text is empty; say something.",
        ),
        ("UNAVAILABLE OVERLOADED retry_after_ms=20500: All 8 slots are taken.", Overloaded, "All 8 slots are taken."),
        ("UNAVAILABLE DRAINING: The server is about to stop.", Overloaded, "The server is about to stop."),
        ("UNAVAILABLE DEADLINE: Not over in 10 s.", DeadlineExceeded, "Not over in 10 s."),
        ("INVALID_ARG UNAUTHENTICATED: The key is unknown.", Unauthenticated, "The key is unknown."),
        ("INTERNAL INTERNAL: The stage llm failed.", ServerError, "The stage llm failed."),
        ("INTERNAL no reason given", ServerError, "no reason given"),
    ],
)
def test_each_reason_is_its_own_error(
    client: StreamOmni, refusal: str, kind: type[StreamOmniError], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        client.chat(f"refuse {refusal}")
    assert type(caught.value) is kind
    assert str(caught.value).endswith(sentence)
    assert caught.value.request_id
    if isinstance(caught.value, Overloaded):
        assert caught.value.retry_after == (20.5 if caught.value.reason == "OVERLOADED" else None)


def test_an_error_after_events_ends_the_stream(client: StreamOmni) -> None:
    with client.stream("break") as stream:
        assert isinstance(next(stream), TextDelta)
        with pytest.raises(ServerError, match="llm is gone"):
            next(stream)
        assert list(stream) == []
    assert stream.reply.text == "half of it"
    assert stream.reply.done is None


@pytest.mark.parametrize(
    ("question", "complaint"),
    [("vanish", "ended before"), ("skip", "event 2 came where event 1 was due"), ("garble", "unknown event 'song'")],
)
def test_a_broken_protocol_is_a_server_error(client: StreamOmni, question: str, complaint: str) -> None:
    with pytest.raises(ServerError, match=complaint) as caught:
        client.chat(question)
    assert caught.value.request_id


def test_no_first_event_is_a_deadline_and_cancels(protocol_url: str, twin: type[StreamOmni]) -> None:
    with twin(protocol_url, first_event_timeout_s=0.3, idle_timeout_s=30) as client:
        before = cancelled_turns(client)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="first_event_timeout_s"):
            client.chat("silent")
        assert 0.3 <= time.monotonic() - began < 2
        wait_for_cancelled_turns(client, before + 1)


def test_silence_between_events_is_a_deadline_and_cancels(protocol_url: str, twin: type[StreamOmni]) -> None:
    with twin(protocol_url, first_event_timeout_s=30, idle_timeout_s=0.3) as client:
        before = cancelled_turns(client)
        with client.stream("pause") as stream:
            assert next(stream).seq == 0
            with pytest.raises(DeadlineExceeded, match="idle_timeout_s"):
                next(stream)
        wait_for_cancelled_turns(client, before + 1)


def test_the_whole_turn_s_time_is_limited(client: StreamOmni) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"not over after 0\.3 s"):
        client.chat("endless", timeout_s=0.3)
    assert time.monotonic() - began < 2


def test_a_slow_reader_is_no_silent_server(protocol_url: str, twin: type[StreamOmni]) -> None:
    with twin(protocol_url, idle_timeout_s=0.3) as client, client.stream("hello") as stream:
        for _ in stream:
            time.sleep(0.4)


def test_leaving_the_block_early_cancels(client: StreamOmni) -> None:
    before = cancelled_turns(client)
    with client.stream("endless") as stream:
        next(stream)
    wait_for_cancelled_turns(client, before + 1)
    assert list(stream) == []


def test_dropping_the_stream_cancels(client: StreamOmni) -> None:
    before = cancelled_turns(client)
    for _ in client.stream("endless"):
        break
    wait_for_cancelled_turns(client, before + 1)


def test_an_exception_in_the_block_cancels(client: StreamOmni) -> None:
    before = cancelled_turns(client)
    with pytest.raises(ZeroDivisionError), client.stream("endless") as stream:
        raise ZeroDivisionError(next(stream))
    wait_for_cancelled_turns(client, before + 1)


def test_another_thread_may_close_a_waiting_stream(client: StreamOmni) -> None:
    with client.stream("silent") as stream:
        threading.Timer(0.3, stream.close).start()
        with pytest.raises(Cancelled):
            next(stream)


def test_turns_of_one_client_do_not_disturb_one_another(client: StreamOmni) -> None:
    with client.stream("endless") as endless, client.stream("hello", output="speech") as spoken:
        next(endless)
        assert sum(1 for _ in spoken) == 5
        with pytest.raises(ServerError):
            client.chat("break")
        assert next(endless).seq == 1


def test_a_server_that_shuts_down_takes_no_turn(own_server: TritonServer, twin: type[StreamOmni]) -> None:
    assert own_server.process is not None
    with twin(own_server.grpc_url) as client, client.stream("endless") as stream:
        next(stream)
        own_server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(ConnectionFailed):
            client.chat("hello")


def test_clients_that_come_and_go_leave_the_server_standing(protocol_url: str, twin: type[StreamOmni]) -> None:
    """Leaving at the last event, before the stream's end, crashed tritonserver 2.51 after 30 to 1200 turns."""
    for _ in range(150):
        with twin(protocol_url) as client:
            client.chat("hello")
        with twin(protocol_url) as client, pytest.raises(ServerError, match="llm is gone"):
            client.chat("break")
    with twin(protocol_url) as client:
        assert client.ready()


def test_nothing_listens(twin: type[StreamOmni]) -> None:
    with twin("127.0.0.1:1") as client:
        with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:1 cannot be reached; .*refused") as caught:
            client.chat("hello")
        assert caught.value.reason == "UNREACHABLE" and caught.value.request_id
        assert caught.value.__cause__ is not None
        assert not client.ready()
        with pytest.raises(ConnectionFailed):
            client.voices()


def test_a_name_without_an_address(twin: type[StreamOmni]) -> None:
    with twin("nowhere.invalid:1", max_retries=1) as client:
        with pytest.raises(ConnectionFailed, match=r"nowhere\.invalid:1 cannot be reached; ") as caught:
            client.chat("hello")
        assert caught.value.reason == "UNREACHABLE"


def test_another_model_than_ours_is_named(protocol_url: str) -> None:
    connection = Connection(choose_settings(protocol_url, None, None, 1, 1, 0))
    with pytest.raises(ServerError, match="has no parameter absent"):
        connection.model_parameter("absent", 5)
    connection.close()


def test_a_closed_client_says_so(protocol_url: str) -> None:
    client = StreamOmni(protocol_url)
    client.close()
    for method in (lambda: client.chat("hello"), client.voices):
        with pytest.raises(Cancelled, match="this client is closed"):
            method()


def test_a_killed_server_ends_the_stream_with_an_error(own_server: TritonServer, twin: type[StreamOmni]) -> None:
    assert own_server.process is not None
    with twin(own_server.grpc_url, idle_timeout_s=5) as client, client.stream("endless") as stream:
        next(stream)
        os.kill(own_server.process.pid, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(ConnectionFailed):
            list(stream)
        assert time.monotonic() - began < 3


def test_a_dead_model_process_is_noticed_by_its_silence(own_server: TritonServer, twin: type[StreamOmni]) -> None:
    with twin(own_server.grpc_url, idle_timeout_s=1) as client:
        began = time.monotonic()
        with pytest.raises((DeadlineExceeded, ServerError)):
            client.chat("die")
        assert time.monotonic() - began < 3


def cancelled_turns(client: StreamOmni) -> int:
    return int(client.chat("cancelled").text)


def wait_for_cancelled_turns(client: StreamOmni, count: int) -> None:
    deadline = time.monotonic() + 3
    while cancelled_turns(client) < count:
        assert time.monotonic() < deadline, "the server was not told"
        time.sleep(0.02)
