"""Who gets a session, how many there are, and how each of them ends."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from openai import OpenAI
from stream_omni_client.gateway.application import create_application
from stream_omni_client.gateway.realtime.limits import RealtimeLimits
from stream_omni_client.gateway.settings import Settings
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.client.gateway.gateway_process import GatewayProcess, gateway_process, until
from tests.client.gateway.realtime.talk import talk

REALTIME = Subprotocol("realtime")


@contextmanager
def served(triton_url: str, **limits: Any) -> Iterator[str]:
    """``host:port`` of a gateway with other limits than an operator can choose."""
    settings = Settings(triton_url=triton_url, realtime=RealtimeLimits(**limits))
    size = 2 * settings.realtime.max_message_bytes
    config = uvicorn.Config(create_application(settings), port=0, log_config=None, ws_max_size=size)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def session(address: str, **options: Any) -> Iterator[ClientConnection]:
    with connect(f"ws://{address}/v1/realtime?model=stream-omni", max_size=None, **options) as connection:
        yield connection


def receive(connection: ClientConnection, kind: str) -> Any:
    while (event := json.loads(connection.recv(10)))["type"] != kind:
        pass
    return event


@pytest.fixture(scope="module")
def locked(protocol_url: str, key_file: Path, alice: str) -> Iterator[GatewayProcess]:
    with gateway_process(protocol_url, "--api-keys", str(key_file)) as process:
        yield process


def test_a_wrong_key_is_a_status_for_programs(locked: GatewayProcess) -> None:
    with pytest.raises(InvalidStatus) as caught, session(locked.address):
        pass
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body or b"")["error"]["code"] == "invalid_api_key"
    with pytest.raises(InvalidStatus), session(locked.address, additional_headers={"authorization": "Bearer so_x"}):
        pass


def test_a_key_by_header_or_as_browsers_send_it(locked: GatewayProcess, alice: str) -> None:
    with session(locked.address, additional_headers={"authorization": f"Bearer {alice}"}) as connection:
        assert receive(connection, "session.created")
    offered = [REALTIME, Subprotocol(f"openai-insecure-api-key.{alice}")]
    foreign = Origin("https://elsewhere.example")
    with session(locked.address, subprotocols=offered, origin=foreign) as connection:
        assert receive(connection, "session.created")
        assert connection.subprotocol == "realtime"
    assert locked.line(event="realtime", key="alice", reason="client")


def test_a_browser_is_told_by_an_event(locked: GatewayProcess) -> None:
    origin = Origin(f"http://{locked.address}")
    with session(locked.address, subprotocols=[REALTIME], origin=origin) as connection:
        assert receive(connection, "error")["error"]["code"] == "invalid_api_key"
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(10)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (3000, "invalid_api_key")


def test_pages_of_elsewhere_do_not_reach_an_open_gateway(gateway: GatewayProcess) -> None:
    own = Origin(f"http://{gateway.address}")
    with session(gateway.address, subprotocols=[REALTIME], origin=own) as connection:
        assert receive(connection, "session.created")
    foreign = Origin("https://elsewhere.example")
    with session(gateway.address, subprotocols=[REALTIME], origin=foreign) as connection:
        assert receive(connection, "error")["error"]["code"] == "origin_not_allowed"
        with pytest.raises(ConnectionClosed):
            connection.recv(10)


def test_another_model_is_not_found(gateway: GatewayProcess) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(f"ws://{gateway.address}/v1/realtime?model=gpt-realtime"):
        pass
    assert caught.value.response.status_code == 404
    with connect(f"ws://{gateway.address}/v1/realtime?model=whisper-1") as alias:
        assert receive(alias, "session.created")["session"]["model"] == "stream-omni"


def test_a_quota_holds_for_answers(locked: GatewayProcess, alice: str) -> None:
    with (
        OpenAI(base_url=f"{locked.url}/v1", api_key=alice) as client,
        talk(client) as first,
        talk(client) as second,
    ):
        first.write("sing")
        first.until("response.output_audio.delta")
        second.write("hello")
        error = second.until("error").error
        assert (error.type, error.code) == ("rate_limit_error", "rate_limit_exceeded")
        assert second.until("response.done").response.status == "failed"
        first.connection.response.cancel()
        first.until("response.done")
        until(lambda: _answers(second))


def _answers(session: Any) -> bool:
    session.write("hello")
    return bool(session.until("response.done").response.status == "completed")


def test_no_server_is_told_before_there_is_a_session() -> None:
    with gateway_process("127.0.0.1:1") as alone:
        with pytest.raises(InvalidStatus) as caught, session(alone.address):
            pass
        assert caught.value.response.status_code == 503
        assert b"127.0.0.1:1" not in (caught.value.response.body or b"")


def test_idle_sessions_end_with_a_word(protocol_url: str) -> None:
    with served(protocol_url, idle_timeout_s=0.4) as address, session(address) as connection:
        assert receive(connection, "error")["error"]["code"] == "session_idle"
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(10)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1000


def test_sessions_have_an_end(protocol_url: str) -> None:
    with served(protocol_url, session_timeout_s=0.8, idle_timeout_s=5) as address, session(address) as connection:
        expires_s = receive(connection, "session.created")["session"]["expires_at"]
        assert abs(expires_s - time.time()) < 2
        ask: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "sing"}]}
        connection.send(json.dumps({"type": "conversation.item.create", "item": ask}))
        connection.send(json.dumps({"type": "response.create"}))
        assert receive(connection, "response.done")["response"]["status"] == "cancelled"
        assert receive(connection, "error")["error"]["code"] == "session_expired"


def test_there_are_so_many_sessions_and_no_more(protocol_url: str) -> None:
    with served(protocol_url, max_sessions=1) as address:
        with session(address):
            with pytest.raises(InvalidStatus) as caught, session(address):
                pass
            assert caught.value.response.status_code == 429
            assert int(caught.value.response.headers["retry-after"]) == 10
        until(lambda: _is_open(address))


def _is_open(address: str) -> bool:
    try:
        with session(address):
            return True
    except InvalidStatus:
        return False


def test_an_event_too_large_is_told_and_one_far_too_large_ends_it(protocol_url: str) -> None:
    with served(protocol_url, max_message_bytes=10_000) as address, session(address) as connection:
        for size, code in ((10_001, "event_too_large"), (9_000, None)):
            audio = base64.b64encode(b"\0" * ((size - 100) // 4 * 3)).decode()
            event = json.dumps({"type": "input_audio_buffer.append", "audio": audio})
            connection.send(event + " " * (size - len(event)))
            if code:
                assert receive(connection, "error")["error"]["code"] == code
        connection.send(json.dumps({"type": "input_audio_buffer.clear"}))
        assert receive(connection, "input_audio_buffer.cleared")
        connection.send(" " * 20_001)
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(10)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009


def test_a_client_that_does_not_fetch_makes_its_own_answer_wait_and_is_given_up(protocol_url: str) -> None:
    with (
        served(protocol_url, max_unsent_bytes=100_000, send_timeout_s=1) as address,
        _deaf_socket(address) as connected,
        session(address, sock=connected, max_queue=1) as connection,
    ):
        ask: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "sing 0.0005"}]}
        connection.send(json.dumps({"type": "conversation.item.create", "item": ask}))
        connection.send(json.dumps({"type": "response.create"}))
        assert until(lambda: _metric(address, 'realtime_session_ends_total{reason="not_fetching"}'), 30) == 1


def _deaf_socket(address: str) -> socket.socket:
    """One for which the kernel keeps little of what was not fetched."""
    host, _, port = address.partition(":")
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
    connected.connect((host, int(port)))
    return connected


def test_metrics_tell_of_sessions_and_answers(protocol_url: str) -> None:
    with served(protocol_url) as address, OpenAI(base_url=f"http://{address}/v1", api_key="none") as client:
        with talk(client) as session:
            assert _metric(address, "realtime_sessions") == 1
            session.write("hello")
            session.until("response.done")
            session.connection.response.cancel()
            session.until("error")
            assert _metric(address, 'realtime_responses_total{reason="",status="completed"}') == 1
            assert _metric(address, "realtime_first_sound_seconds_count") == 1
            assert _metric(address, "realtime_refused_events_total") == 1
        until(lambda: _metric(address, 'realtime_session_ends_total{reason="client"}') == 1)
        assert _metric(address, "realtime_sessions") == 0


def _metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"http://{address}/metrics") as page:
        for line in page.read().decode().splitlines():
            label, _, value = line.rpartition(" ")
            if label == f"stream_omni_gateway_{name}":
                return float(value)
    return 0.0
