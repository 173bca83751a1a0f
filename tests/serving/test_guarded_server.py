"""A server with API keys and mutual TLS: who is let in, and who is not, at each of its doors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import tritonclient.grpc as triton
from stream_omni_client import ConnectionFailed, Overloaded, StreamOmni, TextDelta, Tls, Unauthenticated

from stream_omni.serving.api_keys import make_key, read_keys, write_keys
from stream_omni.serving.launcher import LaunchError, TritonServer
from stream_omni.serving.metrics import REQUESTS
from stream_omni.serving.security import Security, ServerTls
from tests.serving.certificates import Authority, Pair
from tests.serving.http_client import HttpTurn
from tests.serving.raw_client import tensors
from tests.serving.scrape import Scrape

TURN: dict[str, Any] = {"text": "hi", "max_tokens": 2}


@dataclass
class Guarded:
    server: TritonServer
    keys: Path
    tls: Tls
    alice: str  # no quota
    bob: str  # one turn at once

    def client(self, key: str | None) -> StreamOmni:
        return StreamOmni(self.server.grpc_url, api_key=key, tls=self.tls, max_retries=0)

    def raw(self) -> triton.InferenceServerClient:
        ca, key, cert = self.tls.read()
        return triton.InferenceServerClient(
            self.server.grpc_url, ssl=True, creds=grpc.ssl_channel_credentials(ca, key, cert)
        )


def add(file: Path, name: str, turns: int | None = None) -> str:
    key, stored = make_key(name, turns, 0)
    write_keys(file, [*(read_keys(file) if file.exists() else ()), stored])
    return key


@pytest.fixture(scope="module")
def guarded(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    company, users = Authority(folder / "company"), Authority(folder / "users")
    own, probe, user = company.sign("127.0.0.1"), users.sign("probe.example"), users.sign("user.example")
    keys = folder / "keys.json"
    alice, bob = add(keys, "alice"), add(keys, "bob", turns=1)
    tls = ServerTls(own.cert, own.key, users.ca, probe.cert, probe.key)
    with (
        (folder / "server.log").open("w") as log,
        TritonServer(built_directory, http_port=0, security=Security(keys, tls), log=log, drain_timeout_s=3) as server,
    ):
        yield Guarded(server, keys, Tls(company.ca, user.cert, user.key), alice, bob)


def test_a_key_and_a_certificate_let_in(guarded: Guarded) -> None:
    with guarded.client(guarded.alice) as client:
        assert client.chat("hi", max_tokens=2).done is not None
        assert client.ready() and client.voices()


@pytest.mark.parametrize("key", [None, "so_" + "x" * 43])
def test_without_a_key_every_door_is_closed(guarded: Guarded, key: str | None) -> None:
    before = Scrape(guarded.server.metrics_url)
    with guarded.client(key) as client, pytest.raises(Unauthenticated, match="API key"):
        client.chat("hi")
    headers = {"authorization": f"Bearer {key}"} if key else None
    with guarded.raw() as raw:
        for door in ("turn", "prepare"):
            with pytest.raises(triton.InferenceServerException, match=r"UNAUTHENTICATED: .*API key") as refused:
                raw.infer(door, tensors(TURN), headers=headers)
            assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
        prepared = raw.infer("prepare", tensors(TURN), headers={"authorization": f"Bearer {guarded.alice}"})
        names = ("turn", "prompt_ids", "prompt_embeds", "hidden", "keys_values", "seal")
        inputs = tensors({name: prepared.as_numpy(name) for name in names})
        with pytest.raises(triton.InferenceServerException, match=r"UNAUTHENTICATED: .*API key"):
            raw.infer("answer", inputs, headers=headers)
    after = Scrape(guarded.server.metrics_url)
    refused_turns = [scrape(REQUESTS, mode="unknown", outcome="unauthenticated") for scrape in (before, after)]
    assert refused_turns[1] - refused_turns[0] == 1


def test_the_unary_turn_takes_the_key_as_header_or_parameter(guarded: Guarded) -> None:
    value = {"authorization": f"Bearer {guarded.alice}"}
    with guarded.raw() as raw:
        for way in ({"headers": value}, {"parameters": value}):
            assert raw.infer("turn", tensors(TURN), **way).as_numpy("reply") is not None


def test_http_stays_on_this_machine_and_wants_the_key_too(guarded: Guarded) -> None:
    assert guarded.server.http_url.startswith("127.0.0.1:")
    body: dict[str, Any] = {
        "inputs": [
            {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hi"]},
            {"name": "max_tokens", "shape": [1], "datatype": "INT32", "data": [2]},
        ],
        "outputs": [{"name": "reply"}],
    }
    url = f"http://{guarded.server.http_url}/v2/models/turn/infer"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, json.dumps(body).encode())
    assert refused.value.code == 400 and "UNAUTHENTICATED: " in refused.value.read().decode()
    headers = {"Authorization": f"Bearer {guarded.alice}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    assert json.load(urllib.request.urlopen(request))["outputs"][0]["name"] == "reply"


def test_streams_over_http_take_the_key_among_the_inputs(guarded: Guarded) -> None:
    """Triton forwards no headers from there."""
    turn = {"text": "hi", "max_tokens": 2}
    for parameters in ({}, {"authorization": "Bearer so_" + "x" * 43}):
        (refused,) = HttpTurn(guarded.server.http_url, turn, parameters).answers()
        assert refused["error"].startswith("UNAUTHENTICATED: ")
    answers = HttpTurn(guarded.server.http_url, turn, {"authorization": f"Bearer {guarded.alice}"}).answers()
    assert [*answers][-1]["event"] == "done"


def test_who_shows_no_certificate_is_not_heard(guarded: Guarded, tmp_path: Path) -> None:
    strangers = Authority(tmp_path / "strangers")
    unsigned = strangers.sign("user.example")
    for tls in (None, Tls(guarded.tls.ca), Tls(guarded.tls.ca, unsigned.cert, unsigned.key), Tls(strangers.ca)):
        with (
            StreamOmni(guarded.server.grpc_url, api_key=guarded.alice, tls=tls, first_event_timeout_s=30) as client,
            pytest.raises(ConnectionFailed),
        ):
            client.chat("hi")


def test_health_and_metrics_ask_for_no_key(guarded: Guarded) -> None:
    """With mutual TLS a certificate opens the gRPC port; the metrics' own is to be kept inside."""
    with guarded.raw() as raw:
        assert raw.is_server_live() and raw.is_server_ready() and raw.is_model_ready("stream_omni")
        assert raw.get_model_config("stream_omni").config.parameters["info"].string_value
    stranger = triton.InferenceServerClient(guarded.server.grpc_url)
    with stranger, pytest.raises(triton.InferenceServerException):
        stranger.is_server_live(client_timeout=10)
    with urllib.request.urlopen(f"http://{guarded.server.metrics_url}/metrics") as page:
        assert not any(name in page.read().decode() for name in ("alice", "bob", guarded.alice))


def test_keys_come_and_go_while_it_runs(guarded: Guarded) -> None:
    carol = add(guarded.keys, "carol")
    with guarded.client(carol) as client:
        client.chat("hi", max_tokens=2)
        write_keys(guarded.keys, [stored for stored in read_keys(guarded.keys) if stored.name != "carol"])
        with pytest.raises(Unauthenticated, match="not known"):
            client.chat("hi")
    with guarded.client(guarded.alice) as client:
        client.chat("hi", max_tokens=2)


def test_a_key_gets_its_quota_and_others_theirs(guarded: Guarded) -> None:
    with (
        guarded.client(guarded.bob) as bob,
        guarded.client(guarded.alice) as alice,
        bob.stream("Tell me a tale", max_tokens=4000, temperature=1.5) as running,
    ):
        while not isinstance(next(running), TextDelta):
            pass
        with pytest.raises(Overloaded, match="the key bob may have 1 turns at once and 0 waiting") as refused:
            bob.chat("hi")
        assert refused.value.retry_after is not None and refused.value.retry_after >= 0.1
        alice.chat("hi", max_tokens=2)
        running.close()
        for _ in range(100):  # its place is free when no stage holds anything for it
            try:
                bob.chat("hi", max_tokens=2)
                return
            except Overloaded:
                continue
    pytest.fail("the place stayed taken")


def test_the_command_line_is_let_in_by_its_environment(guarded: Guarded) -> None:
    command = [sys.executable, "-c", "from stream_omni_client.command import main; raise SystemExit(main())", "ask"]
    command += ["--url", guarded.server.grpc_url, "--text", "hi", "--max-tokens", "2", "--json"]
    files = {"CA": guarded.tls.ca, "CERT": guarded.tls.cert, "KEY": guarded.tls.key}
    environment = {**os.environ, **{f"STREAM_OMNI_TLS_{name}": str(file) for name, file in files.items()}}
    for key, code in ((guarded.alice, 0), ("so_wrong", 6)):
        environment["STREAM_OMNI_API_KEY"] = key
        asked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert asked.returncode == code, asked.stderr
    assert "not known" in asked.stderr


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Authority(tmp_path / "ca").sign("127.0.0.1")


def test_files_that_cannot_serve_are_named_before_anything_starts(
    built_directory: Path, pair: Pair, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    other = Authority(tmp_path / "other").sign("127.0.0.1")
    for security, sentence in (
        (Security(tmp_path / "none.json"), "none.json: No such file"),
        (Security(broken), "is no file of keys"),
        (Security(None, ServerTls(pair.cert, other.key)), "are no PEM certificate and its key"),
        (Security(None, ServerTls(pair.cert, tmp_path / "none.key")), "are no PEM certificate and its key"),
        (Security(None, ServerTls(pair.cert, pair.key, broken)), "holds no certificate of a client CA"),
        (Security(None, ServerTls(pair.cert, pair.key, pair.cert, pair.cert)), "needs its key"),
    ):
        with pytest.raises(LaunchError, match=sentence):
            TritonServer(built_directory, security=security)
