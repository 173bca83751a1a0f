"""What operators see: health, metrics, a line per request without a word of anybody, and a clean end."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from openai import NotFoundError, OpenAI
from stream_omni_client import StreamOmni, Tls
from stream_omni_client.command import main as stream_omni
from stream_omni_client.gateway.application import create_application
from stream_omni_client.gateway.command import make_parser
from stream_omni_client.gateway.settings import Settings

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.security import Security, ServerTls
from tests.client.conftest import PROTOCOL_MODEL
from tests.client.gateway.conftest import MODEL
from tests.client.gateway.gateway_process import GatewayProcess, gateway_process, until
from tests.serving.certificates import Authority

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def test_models_tell_voices_and_limits(openai: OpenAI) -> None:
    models = openai.models.list().data
    assert [model.id for model in models] == [MODEL, "whisper-1"]
    told = models[0].model_extra
    assert told is not None
    assert told["voices"] == ["default", "英文女"]
    assert told["limits"].items() >= {"max_pictures": 4, "max_audio_out_ms": 163840}.items()
    assert openai.models.retrieve(MODEL).created == models[0].created
    with pytest.raises(NotFoundError):
        openai.models.retrieve("gpt-5")


def test_health_is_a_real_turn_which_answers_for_a_while(gateway: GatewayProcess) -> None:
    first, second = (json.loads(urlopen(f"{gateway.url}/health").read()) for _ in range(2))
    assert (first["status"], second["status"]) == ("ok", "ok")
    assert 0 <= first["age_s"] <= second["age_s"]
    assert json.loads(urlopen(f"{gateway.url}/health/live").read()) == {"status": "ok"}


def test_metrics_count_by_route(gateway: GatewayProcess, openai: OpenAI) -> None:
    def value(metric: str, **labels: str) -> float:
        page = urlopen(f"{gateway.url}/metrics").read().decode()
        told = ",".join(f'{name}="{label}"' for name, label in labels.items())
        found = re.search(rf"^stream_omni_gateway_{metric}{{{re.escape(told)}}} (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    route = "/v1/chat/completions"
    counts = {
        "requests_total": {"route": route, "status": "200"},
        "request_seconds_count": {"route": route},
        "first_byte_seconds_count": {"route": route},
    }
    before = {name: value(name, **labels) for name, labels in counts.items()}
    sizes = {name: value(name, route=route) for name in ("received_bytes_total", "sent_bytes_total")}
    with openai.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "endless"}], stream=True
    ) as stream:
        next(stream)
        assert value("in_flight", route=route) == 1
    until(lambda: value("in_flight", route=route) == 0)
    assert value("requests_total", route=route, status="499") >= 1
    openai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
    assert value("requests_total", route=route, status="200") == before["requests_total"] + 1
    assert value("request_seconds_count", route=route) == before["request_seconds_count"] + 2
    assert value("first_byte_seconds_count", route=route) == before["first_byte_seconds_count"] + 2
    assert all(value(name, route=route) > size for name, size in sizes.items())
    for path in ("/no/such/place", "/v1/no/such/place"):
        connection = http.client.HTTPConnection(gateway.address, timeout=5)
        connection.request("GET", path)
        assert connection.getresponse().status == 404
        connection.close()
    page = urlopen(f"{gateway.url}/metrics").read().decode()
    assert 'route="other",status="404"' in page and "no/such" not in page


def test_a_line_per_request_and_no_word_of_it(openai: OpenAI, gateway: GatewayProcess, question: Path) -> None:
    secret = "mein Passwort ist Zitrone"
    answer = openai.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": f"report {secret}"}], extra_headers={"traceparent": TRACE}
    )
    assert secret in answer.text
    openai.audio.transcriptions.create(model=MODEL, file=question)
    line = gateway.line(request_id=answer.headers["x-request-id"])
    assert {
        "turn": str,
        "total_ms": float,
        "first_byte_ms": float,
        "received_bytes": int,
        "sent_bytes": int,
    }.items() <= {name: type(value) for name, value in line.items()}.items()
    assert (line["event"], line["route"], line["status"]) == ("request", "/v1/chat/completions", 200)
    gateway.line(route="/v1/audio/transcriptions")
    log = json.dumps(gateway.lines, ensure_ascii=False)
    assert not [word for word in (*secret.split()[1:], "what is this", "question.wav") if word in log]


def test_errors_of_addresses_have_openais_shape(gateway: GatewayProcess) -> None:
    for method, path, status in (
        ("GET", "/v1/embeddings", 404),
        ("GET", "/v1/chat/completions", 405),
        ("PUT", "/health", 405),
    ):
        connection = http.client.HTTPConnection(gateway.address, timeout=5)
        connection.request(method, path)
        response = connection.getresponse()
        assert response.status == status
        assert json.loads(response.read())["error"]["type"] == "invalid_request_error"
        assert response.headers["x-request-id"].startswith("req_")
        connection.close()


def test_running_answers_are_finished_at_the_end_and_new_ones_not_begun(protocol_url: str) -> None:
    with (
        gateway_process(protocol_url) as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        stream = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "endless"}], stream=True
        )
        next(stream)
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: refused(gateway.address), timeout_s=5)
        for _ in range(5):
            assert next(stream).choices[0].delta.content
        stream.close()
        assert gateway.process.wait(5) == 0


def test_answers_that_outlast_the_end_are_broken_off(protocol_url: str) -> None:
    with gateway_process(protocol_url, "--drain-timeout", "1") as gateway:
        connection = http.client.HTTPConnection(gateway.address, timeout=10)
        body = {"model": MODEL, "messages": [{"role": "user", "content": "endless"}], "stream": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        gateway.process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()
        assert gateway.process.wait(20) == 0
        assert 0.9 < time.monotonic() - began_s < 20
        assert gateway.line(reason="shutdown")["status"] == 599


def test_a_client_that_reads_nothing_holds_nothing_for_ever(protocol_url: str) -> None:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "endless"}], "stream": True})
    head = ["POST /v1/chat/completions HTTP/1.1", "host: x", "content-type: application/json"]
    with gateway_process(protocol_url, "--turn-timeout", "2") as gateway:
        host, _, port = gateway.address.partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall("\r\n".join([*head, f"content-length: {len(body)}", "", body]).encode())
            line = until(lambda: next(iter(gateway.lines), None), timeout_s=20)
    assert line["reason"] == "timeout"
    assert line["total_ms"] < 10_000


def refused(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert stream_omni(["gateway", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


def test_a_server_that_can_be_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pem = str(tmp_path / "none.pem")
    assert stream_omni(["gateway", "--port", "0", "--url", "http://localhost"]) == 2
    assert stream_omni(["gateway", "--port", "0", "--tls-ca", pem]) == 2
    assert stream_omni(["gateway", "--port", "0", "--https-cert", pem, "--https-key", pem]) == 2
    told = capsys.readouterr().err.splitlines()
    assert "host:port" in told[0]
    assert "none.pem" in told[1]
    assert len(told) == 3, "a line each"


def test_a_fault_of_our_own_tells_nobody_what_was_said(capfd: pytest.CaptureFixture[str]) -> None:
    async def fail() -> None:
        raise ValueError("a secret of the user's")

    async def ask() -> list[dict[str, Any]]:
        application = create_application(Settings())
        application.state.gateway.readiness.find = fail
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/health",
            "headers": [],
            "query_string": b"",
            "root_path": "",
        }
        await application(scope, receive, send)
        return sent

    start, body = asyncio.run(ask())
    error = json.loads(body["body"])["error"]
    assert (start["status"], error["type"]) == (500, "server_error")
    failure, request = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert (failure["error"], failure["place"].partition(":")[0]) == ("ValueError", "test_operations.py")
    assert failure["request_id"] == request["request_id"] and request["request_id"] in error["message"]
    assert "secret" not in json.dumps([error, failure, request])


def test_towards_a_server_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "company")
    pair = authority.sign("127.0.0.1")

    def probe(url: str, timeout_s: float) -> None:
        with StreamOmni(url, tls=Tls(ca=authority.ca)) as client:
            client.chat("hello", timeout_s=timeout_s)

    security = Security(None, ServerTls(pair.cert, pair.key))
    with (
        (tmp_path / "log").open("w") as log,
        TritonServer(PROTOCOL_MODEL, probe=probe, security=security, drain_timeout_s=1, log=log) as server,
        gateway_process(server.grpc_url, "--tls-ca", str(authority.ca)) as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        assert client.models.list().data
        hello: Any = [{"role": "user", "content": "hello"}]
        assert client.chat.completions.create(model=MODEL, messages=hello).choices


def test_the_options_defaults_are_the_settings() -> None:
    arguments, settings = make_parser().parse_args([]), Settings()
    assert (arguments.host, arguments.port, arguments.model) == (settings.host, settings.port, settings.model)
    assert arguments.turn_timeout == settings.turn_timeout_s
