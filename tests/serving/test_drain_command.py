"""``stream-omni drain``, on the admin port of a supervisor, and on a real server with a turn that runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from stream_omni.serving import supervisor as supervisor_module
from stream_omni.serving.admin import AdminDoor
from stream_omni.serving.drain_command import main, wait_until_idle
from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.supervisor import Supervision, Supervisor
from tests.serving.small_repository import FRONT_DOOR, make_repository, number, probe
from tests.serving.test_admin import call


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    server = TritonServer(make_repository(tmp_path / "repository"), probe=probe, log=(tmp_path / "log").open("w"))
    running = Supervisor(server, Supervision())
    try:
        running.start()
        yield running
    finally:
        server.stop(0)


def test_a_server_that_leaves_is_not_ready_and_serves_on(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [(2, 1)]
    monkeypatch.setattr(supervisor_module.Supervisor, "_running_turns", lambda _: turns[0])
    with AdminDoor(supervisor, "127.0.0.1", 0, longest_idle_s=60) as admin:
        assert call(admin.url, "/ready")[0] == 200
        command = ["--admin", admin.url, "--settle-s", "0.2", "--turns-s"]
        assert main([*command, "0.6"]) == 1
        assert "3 turns still run 0.8 s after" in capsys.readouterr().err
        assert call(admin.url, "/ready")[0] == 503
        status = call(admin.url, "/status")[1]
        assert status["leaving"] is True and status["draining"] is False
        with triton.InferenceServerClient(supervisor.server.grpc_url) as client:  # a turn that comes late is let in
            answers: list[object] = []
            client.start_stream(lambda result, error: answers.append(error))
            client.async_stream_infer(FRONT_DOOR, [number(1.0)])
            client.stop_stream()
            assert answers == [None]
        ended: list[int] = []
        waiting = threading.Thread(target=lambda: ended.append(main([*command, "30"])))
        waiting.start()
        time.sleep(1)
        assert not ended
        turns[0] = (0, 0)
        waiting.join(5)
        assert ended == [0]


def test_where_no_server_is_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--admin", "127.0.0.1:1"]) == 2
    assert "no admin port of `stream-omni serve` at 127.0.0.1:1" in capsys.readouterr().err


def test_a_server_that_says_nothing_is_not_taken_for_an_idle_one() -> None:
    assert wait_until_idle(lambda: None, 0.1) == 1
    found = iter([None, 2, 0])
    assert wait_until_idle(lambda: next(found), 10) == 0
