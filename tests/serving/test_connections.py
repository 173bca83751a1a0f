"""Connections have an age: clients that read do not notice it, and what one does not read is not kept for ever."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from stream_omni_client import StreamOmni, TextDelta
from tritonclient.grpc import service_pb2

from stream_omni.serving.connections import connection_arguments
from stream_omni.serving.launcher import TritonServer
from tests.client.conftest import PROTOCOL_MODEL
from tests.serving.raw_client import tensors

AGE_S, TURN_S = 3.0, 2.0
GRACE_S = TURN_S + 5.0
TIMEOUT = f'\nparameters {{ key: "turn_timeout_s" value: {{ string_value: "{TURN_S}" }} }}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("aging")
    repository = folder / "repository"
    shutil.copytree(PROTOCOL_MODEL, repository)
    config = repository / "stream_omni" / "config.pbtxt"
    config.write_text(config.read_text() + TIMEOUT)

    def probe(url: str, timeout_s: float) -> None:
        with StreamOmni(url) as client:
            if not client.ready(timeout_s):
                raise ConnectionError("no answer")

    with (
        (folder / "server.log").open("w") as log,
        TritonServer(repository, connection_age_s=AGE_S, probe=probe, drain_timeout_s=1, log=log) as running,
    ):
        yield running


def cancelled(server: TritonServer) -> int:
    with StreamOmni(server.grpc_url) as client:
        return int(client.chat("cancelled").text)


def settled_cancelled(server: TritonServer) -> int:
    """Once the turns that others have left are counted."""
    before, now = -1, cancelled(server)
    while now != before:
        time.sleep(0.5)
        before, now = now, cancelled(server)
    return now


def test_the_ages_follow_the_longest_turn(server: TritonServer, tmp_path: Path) -> None:
    assert connection_arguments(server.repository, AGE_S) == [
        "--grpc-max-connection-age=3000",
        "--grpc-max-connection-age-grace=7000",
    ]
    assert connection_arguments(tmp_path, 600)[1] == "--grpc-max-connection-age-grace=305000"


def test_who_reads_notices_nothing(server: TritonServer) -> None:
    """One client, turn after turn, over several ages of its connection."""
    with StreamOmni(server.grpc_url) as client:
        began_s, turns = time.monotonic(), 0
        while time.monotonic() - began_s < 4 * AGE_S:
            assert client.chat("hello", output="speech").text
            turns += 1
        assert turns > 10


def test_a_turn_outlives_the_age_of_its_connection(server: TritonServer) -> None:
    with StreamOmni(server.grpc_url) as client, client.stream("endless") as stream:
        began_s = time.monotonic()
        while time.monotonic() - began_s < AGE_S + TURN_S:
            assert isinstance(next(stream), TextDelta)


def test_who_never_reads_is_left_and_his_answer_with_him(server: TritonServer) -> None:
    before = settled_cancelled(server)
    client = triton.InferenceServerClient(server.grpc_url)
    request = service_pb2.ModelInferRequest(model_name="stream_omni")
    for tensor in tensors({"text": "endless"}):
        request.inputs.append(tensor._get_tensor())
        request.raw_input_contents.append(tensor._get_content())
    unread = client._client_stub.ModelStreamInfer(iter([request]))
    began_s = time.monotonic()
    while cancelled(server) == before:
        assert time.monotonic() - began_s < 3 * (AGE_S + GRACE_S)
        time.sleep(0.2)
    assert time.monotonic() - began_s > AGE_S / 2  # not at once: it was the age that ended it
    del unread
    client.close()
