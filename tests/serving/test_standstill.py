"""A machine that stands still for some seconds, because it is moved or out of memory, ends no turn."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from stream_omni.serving.launcher import TritonServer
from tests.serving.raw_client import Stream, ask

STANDS_STILL_S = 4.0  # twice as long as an engine, or who asks it, may keep silent
ASKED = {"text": "Tell me a tale", "output": "speech", "max_tokens": 300, "max_audio_ms": 20_000, "seed": 7}


@contextmanager
def stopped(server: TritonServer) -> Iterator[None]:
    """All its processes at once."""
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server.process.pid, signal.SIGCONT)


def test_a_turn_goes_on_where_the_machine_goes_on(server: TritonServer) -> None:
    alone = ask(server.grpc_url, **ASKED)
    assert alone.error is None
    for heard in (1, len(alone.of("audio")) // 2):
        turn = Stream(server.grpc_url, ASKED)
        while heard:
            response = turn.next()
            assert not isinstance(response, str), response
            heard -= response["event"] == "audio"
        with stopped(server):
            time.sleep(STANDS_STILL_S)
        rest = turn.finish()
        assert rest.error is None
        whole = alone.samples
        assert np.array_equal(rest.samples, whole[len(whole) - len(rest.samples) :])
