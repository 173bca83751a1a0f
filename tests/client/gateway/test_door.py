"""Who is let in, how many of them, and with how much."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import APIStatusError, AuthenticationError, OpenAI, RateLimitError
from stream_omni_client.command import main as stream_omni
from stream_omni_client.gateway.api_errors import ApiError
from stream_omni_client.gateway.api_keys import ApiKeys, Holder, KeyFileError, read_keys
from stream_omni_client.gateway.door import Door
from stream_omni_client.gateway.settings import GatewayLimits, Settings

from stream_omni.serving import api_keys as server_side
from tests.client.gateway.conftest import MODEL
from tests.client.gateway.gateway_process import GatewayProcess, gateway_process
from tests.serving.certificates import Authority

HELLO: Any = [{"role": "user", "content": "hello"}]
ENDLESS: Any = [{"role": "user", "content": "endless"}]


@dataclass
class Guarded:
    gateway: GatewayProcess
    file: Path
    ca: Path
    alice: str  # no quota
    bob: str  # one turn at once, nobody waiting

    def client(self, key: str, **options: Any) -> OpenAI:
        trusted = httpx2.Client(verify=ssl.create_default_context(cafile=self.ca))
        return OpenAI(
            base_url=f"{self.gateway.url}/v1", api_key=key, http_client=trusted, **{"max_retries": 0, **options}
        )


@pytest.fixture(scope="module")
def guarded(protocol_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder / "company")
    pair, file = authority.sign("127.0.0.1"), folder / "keys.json"
    alice, bob = make_key(file, "alice"), make_key(file, "bob", turns=1)
    options = ["--api-keys", str(file), "--https-cert", str(pair.cert), "--https-key", str(pair.key)]
    with gateway_process(protocol_url, *options) as gateway:
        yield Guarded(gateway, file, authority.ca, alice, bob)


def make_key(file: Path, name: str, turns: int | None = None, waiting: int = 0) -> str:
    """As `stream-omni keys make` does it."""
    key, stored = server_side.make_key(name, turns, waiting)
    server_side.write_keys(file, [*(server_side.read_keys(file) if file.exists() else ()), stored])
    return key


def test_keys_are_asked_for_and_known_over_tls(guarded: Guarded) -> None:
    with guarded.client(guarded.alice) as client:
        assert client.models.list().data[0].id == MODEL
    for key in ("so_unknown", "none"):
        with guarded.client(key) as client, pytest.raises(AuthenticationError) as caught:
            client.chat.completions.create(model=MODEL, messages=HELLO)
        assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")
        assert caught.value.request_id
    line = guarded.gateway.line(status=200, route="/v1/models")
    assert line["key"] == "alice"
    assert not any(guarded.alice in json.dumps(line) for line in guarded.gateway.lines)


def test_who_shows_no_certificate_is_not_heard(protocol_url: str, tmp_path: Path) -> None:
    company, users, strangers = (Authority(tmp_path / name) for name in ("company", "users", "strangers"))
    own, user, stranger = company.sign("127.0.0.1"), users.sign("user.example"), strangers.sign("user.example")
    options = ["--https-cert", str(own.cert), "--https-key", str(own.key), "--https-client-ca", str(users.ca)]
    with gateway_process(protocol_url, *options) as gateway:
        for shown in (user, stranger, None):
            trusted = ssl.create_default_context(cafile=company.ca)
            if shown is not None:
                trusted.load_cert_chain(shown.cert, shown.key)
            caller = http.client.HTTPSConnection(gateway.address, context=trusted, timeout=20)
            if shown is user:
                caller.request("GET", "/v1/models")
                assert caller.getresponse().status == 200
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):  # as late as at its first answer, by TLS 1.3
                    caller.request("GET", "/health")
                    caller.getresponse()
            caller.close()


def test_no_key_at_all(guarded: Guarded) -> None:
    with guarded.client("x", default_headers={"authorization": "Basic eDp5"}) as client:
        with pytest.raises(AuthenticationError, match="didn't provide") as caught:
            client.models.list()
        assert caught.value.response.headers["www-authenticate"] == "Bearer"


def test_a_quota_is_kept_and_told(guarded: Guarded) -> None:
    with guarded.client(guarded.bob) as bob, guarded.client(guarded.alice) as alice:
        with bob.chat.completions.create(model=MODEL, messages=ENDLESS, stream=True) as stream:
            next(stream)
            with pytest.raises(RateLimitError, match="bob may have 1 turns at once") as caught:
                bob.chat.completions.create(model=MODEL, messages=HELLO)
            assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")
            headers = caught.value.response.headers
            assert (headers["retry-after"], headers["retry-after-ms"]) == ("1", "1000")
            assert alice.chat.completions.create(model=MODEL, messages=HELLO).choices
            assert bob.models.list().data, "what asks nothing of the server needs no place"
        retrying = bob.with_options(max_retries=5)  # the place is free a moment after the stream was left
        assert retrying.chat.completions.create(model=MODEL, messages=HELLO).choices


def test_a_revoked_key_is_out_at_once(guarded: Guarded) -> None:
    carol = make_key(guarded.file, "carol")
    with guarded.client(carol) as client:
        assert client.models.list().data
        server_side.write_keys(
            guarded.file, [key for key in server_side.read_keys(guarded.file) if key.name != "carol"]
        )
        with pytest.raises(AuthenticationError):
            client.models.list()


def test_the_file_means_to_the_gateway_what_it_means_to_the_server(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = {"ann": make_key(file, "ann"), "ben": make_key(file, "ben", 2, 3)}
    ours, theirs = ApiKeys(file), server_side.ApiKeys(file)
    for name, key in keys.items():
        holder = theirs.holder({"authorization": f"Bearer {key}"})
        assert ours.holder(key) == Holder(holder.name, holder.turns, holder.waiting)
        assert holder.name == name
    assert ours.holder("so_another") is None


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "x"},
        {"sha256": None},
        {"name": "a b"},
        {"name": 7},
        {"turns": 0},
        {"turns": "2"},
        {"waiting": -1},
        {"waiting": 1},
        {},
    ],
)
def test_files_that_are_wrong_are_wrong_for_both(tmp_path: Path, change: dict[str, Any]) -> None:
    file = tmp_path / "keys.json"
    key = make_key(file, "ann")
    content = json.loads(file.read_text())
    content["keys"][0] |= change
    file.write_text(json.dumps(content) if change else "[]")
    with pytest.raises(KeyFileError):
        read_keys(file)
    with pytest.raises(server_side.KeyFileError):
        server_side.read_keys(file)
    assert ApiKeys(file).holder(key) is None


def test_a_file_that_is_gone_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = make_key(file, "ann")
    keys = ApiKeys(file)
    assert keys.holder(key) is not None
    file.unlink()
    assert keys.holder(key) is None


def test_a_gateway_does_not_start_on_a_file_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stream_omni(["gateway", "--api-keys", str(tmp_path / "none.json"), "--port", "0"]) == 2
    assert "none.json" in capsys.readouterr().err


def test_a_body_beyond_the_limit_is_not_read(gateway: GatewayProcess, openai: OpenAI) -> None:
    limit = GatewayLimits().max_body_bytes
    connection = http.client.HTTPConnection(gateway.address, timeout=10)
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(limit + 1))
    connection.endheaders()
    response = connection.getresponse()  # although nothing of the body was sent
    assert (response.status, json.loads(response.read())["error"]["code"]) == (413, "too_large")
    connection.close()
    with pytest.raises(APIStatusError, match=f"larger than {limit} bytes") as caught:  # and one that is sent
        openai.audio.transcriptions.create(model=MODEL, file=("question.wav", b"x" * limit))
    assert caught.value.status_code == 413


def test_a_body_of_no_told_length_is_read_up_to_the_limit(gateway: GatewayProcess) -> None:
    connection = http.client.HTTPConnection(gateway.address, timeout=10)
    piece = b"x" * 1_000_000
    pieces = (piece for _ in range(GatewayLimits().max_body_bytes // len(piece) + 2))
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", pieces, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    ("content", "media_type", "status", "complaint"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b"[]", "application/json", 400, "no object"),
        (b'{"a": NaN}', "application/json", 400, "not JSON"),
        (b"[" * 100_000, "application/json", 400, "not JSON"),
        (b"1" * 5000, "application/json", 400, "not JSON"),
        (b"\xff", "application/json", 400, "not JSON"),
        (b"{}", "text/plain", 415, "send application/json"),  # what web pages of others may send
    ],
)
def test_bodies_that_are_no_json(
    gateway: GatewayProcess, content: bytes, media_type: str, status: int, complaint: str
) -> None:
    connection = http.client.HTTPConnection(gateway.address, timeout=10)
    connection.request("POST", "/v1/chat/completions", content, {"content-type": media_type})
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    assert (response.status, error["type"]) == (status, "invalid_request_error")
    assert complaint in error["message"]
    connection.close()


def test_all_requests_have_a_bound() -> None:
    """Of the gateway's own, whoever they are from: here by a door of two places, in this process."""

    async def crowd() -> list[str]:
        door = Door(Settings(limits=GatewayLimits(max_requests=2, quota_wait_s=0.2)))
        told: list[str] = []

        async def come(holder: Holder, stays_s: float) -> None:
            try:
                async with door.place(holder):
                    await asyncio.sleep(stays_s)
                    told.append("served")
            except ApiError as error:
                told.append(f"{error.status} {error.code}")

        patient = Holder("ann", turns=1, waiting=1)
        await asyncio.gather(come(patient, 0.1), come(patient, 0.0), come(patient, 0.0))  # serves, waits, is refused
        await asyncio.gather(come(patient, 0.4), come(patient, 0.0))  # waits in vain
        await asyncio.gather(*(come(Holder(name), 0.1) for name in "abc"))
        return told

    assert sorted(asyncio.run(crowd())) == [
        *("429 rate_limit_exceeded", "429 rate_limit_exceeded", "429 server_overloaded"),
        *("served",) * 5,
    ]
