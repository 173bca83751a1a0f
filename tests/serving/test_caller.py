"""An event that cannot be handed to Triton ends its turn with an error: what followed the gap would be wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from stream_omni.serving.launcher import TritonServer
from tests.client.conftest import PROTOCOL_MODEL
from tests.serving.raw_client import Stream

# The second of four events is larger than all shared memory, so that Triton itself refuses it.
_MODEL = """
import os
import tempfile
import numpy as np
from stream_omni.serving.caller import Caller
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            caller = Caller(request)
            caller.send(event("one"), last=False)
            memory = os.statvfs("/dev/shm")
            with tempfile.TemporaryFile() as hollow:  # which takes no room
                hollow.truncate(memory.f_frsize * memory.f_blocks + 2)
                caller.send({**event("two"), "samples": np.memmap(hollow, np.int16, "r")}, last=False)
            caller.send(event("three"), last=False)
            caller.send(event("four"), last=True)
def event(delta):
    words = {"event": "text", "delta": delta, "marks": "", "detail": ""}
    numbers = ("seq", "sample_rate", "start_ms", "units")
    return {
        **{name: np.array([word], object) for name, word in words.items()},
        **{name: np.zeros(1, np.int32) for name in numbers},
        "samples": np.zeros(1, np.int16),
    }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("caller")
    version = folder / "repository" / "stream_omni" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(_MODEL)
    shutil.copy(PROTOCOL_MODEL / "stream_omni" / "config.pbtxt", version.parent)

    def probe(url: str, timeout_s: float) -> None:
        assert Stream(url, {"text": "hello"}).finish().error

    with (folder / "server.log").open("w") as log, TritonServer(folder / "repository", probe=probe, log=log) as running:
        yield running


def test_what_cannot_be_sent_ends_the_turn_and_nothing_follows_it(server: TritonServer) -> None:
    answered = Stream(server.grpc_url, {"text": "hello"}).finish()
    assert [response["delta"] for response in answered.responses] == ["one"]
    assert answered.error == "INTERNAL: a part of the answer could not be delivered; send the turn again"
