"""Where a machine stands still for some seconds, because it is moved or out of memory, engines and who asks them do not
give each other up. (Triton itself watches its processes by the clock, and may end a called stage that was at work.)"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_omni.serving.launcher import TritonServer
from tests.serving.raw_client import Answered, Stream, ask
from tests.serving.variants import served_with

STANDS_STILL_S = 4.0  # twice as long as an engine, or who asks it, may keep silent
SERVERS, TURNS = 6, 5  # that are tried: Triton gives a process up in one of six standstills
TRITON_GAVE_UP = "is not healthy"
ASKED = {"text": "Tell me a tale", "max_tokens": 1500, "seed": 7}  # text alone: only the front door and an engine work


@contextmanager
def stopped(server: TritonServer) -> Iterator[None]:
    """All its processes at once."""
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server.process.pid, signal.SIGCONT)


def test_a_turn_of_an_engine_goes_on_where_the_machine_goes_on(built_directory: Path, tmp_path: Path) -> None:
    """On another server where Triton gave a process up, which is not ours to decide and stands in its log."""
    heard = [1, 2]
    for number in range(SERVERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with served_with(built_directory, folder) as server:
            alone = ask(server.grpc_url, **ASKED)
            assert alone.error is None
            while heard and (error := _stood_still(server, heard[0], alone)) is None:
                del heard[0]
        if not heard:
            return
        assert TRITON_GAVE_UP in (folder / "server.log").read_text(encoding="utf-8"), error
    raise AssertionError(f"Triton gave a process up on each of {SERVERS} servers")


def _stood_still(server: TritonServer, heard: int, alone: Answered) -> str | None:
    """The error of a turn whose server stood still after ``heard`` responses, and which else ends as it does alone."""
    for _ in range(TURNS):
        turn, begun = Stream(server.grpc_url, ASKED), ""
        for _ in range(heard):
            response = turn.next()
            assert not isinstance(response, str), response
            begun += response["delta"]
        with stopped(server):
            time.sleep(STANDS_STILL_S)
        rest = turn.rest()
        if rest.error is not None:  # and Triton itself may end of having given a process up
            turn.close()
            return rest.error
        turn.check_end()
        assert begun + rest.joined("text") == alone.joined("text")
        if len(rest.of("text")) > 2:
            return None
    raise AssertionError(f"each of {TURNS} turns was over before the server stood still")
