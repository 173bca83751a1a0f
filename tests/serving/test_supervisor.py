"""Supervision on a real server with two trivial models: what dies is there again, or it is given up loudly."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from stream_omni.serving.launcher import LaunchError, TritonServer
from stream_omni.serving.stage_watch import SERVER
from stream_omni.serving.supervisor import Supervision, Supervisor
from stream_omni.serving.tries import Tries
from tests.serving.small_repository import FRONT_DOOR, OTHER, STAGE, make_repository, number, probe
from tests.serving.test_launcher import group

WITHIN_S = 60.0  # a busy machine's time for what takes one or two seconds
TOLD_S = 5.0  # well before a mending that was put off is due


@contextmanager
def supervised(folder: Path, **settings: int) -> Iterator[Supervisor]:
    server = TritonServer(make_repository(folder), probe=probe, drain_timeout_s=3)
    supervisor = Supervisor(server, Supervision(probe_interval_s=3600, probe_timeout_s=WITHIN_S, **settings))
    try:
        supervisor.start()
        yield supervisor
    finally:
        server.stop(0)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with supervised(tmp_path / "repository", tries=2) as supervisor:
        yield supervisor


def watch_until_ready(supervisor: Supervisor, recoveries: int) -> None:
    """As :meth:`Supervisor.watch` does, until there were so many recoveries."""
    deadline_s = time.monotonic() + WITHIN_S
    while len(supervisor.status()["recoveries"]) < recoveries or not supervisor.is_ready:
        assert time.monotonic() < deadline_s, supervisor.status()
        supervisor._look()
        time.sleep(0.05)


def processes(supervisor: Supervisor) -> dict[str, int]:
    status = supervisor.status()
    found = {stage: known["process"] for stage, known in status["stages"].items()}
    return found | {SERVER: status["server"]["process"]}


def test_a_dead_stage_is_loaded_again_and_the_others_go_on(supervisor: Supervisor) -> None:
    before = processes(supervisor)
    assert supervisor.is_ready and before.keys() == {STAGE, OTHER, FRONT_DOOR, SERVER}
    os.kill(before[STAGE], signal.SIGKILL)
    watch_until_ready(supervisor, 1)
    after = processes(supervisor)
    assert [name for name in before if before[name] != after[name]] == [STAGE]
    probe(supervisor.server.grpc_url, WITHIN_S)
    (recovery,) = supervisor.status()["recoveries"]
    assert (recovery["what"], recovery["cause"]) == (STAGE, "its process ended")
    assert supervisor.status()["stages"][STAGE]["reloads"] == 1
    assert supervisor.mended == {STAGE: 1, OTHER: 0, FRONT_DOOR: 0, SERVER: 0}


def test_a_dead_front_door_breaks_its_clients_connections(supervisor: Supervisor) -> None:
    """The client sets no timeout of any kind: what it waits for would never come."""
    before = processes(supervisor)
    ended = threading.Event()
    with triton.InferenceServerClient(supervisor.server.grpc_url) as client:
        client.start_stream(lambda result, error: ended.set())
        client.async_stream_infer(FRONT_DOOR, [number(-1.0)])
        assert not ended.wait(0.5)
        os.kill(before[FRONT_DOOR], signal.SIGKILL)
        watch_until_ready(supervisor, 2)
        assert ended.wait(WITHIN_S)
        client.stop_stream()
    assert not set(before.values()) & set(processes(supervisor).values())
    assert [recovery["what"] for recovery in supervisor.status()["recoveries"]] == [FRONT_DOOR, SERVER]
    assert not group(before[SERVER])


def have_it_wait(supervisor: Supervisor, name: str) -> None:
    """As after seven repairs in a row: the next one is 30 s off."""
    tries = supervisor._tries.setdefault(name, Tries(1000))
    for _ in range(7):
        tries.note(time.monotonic())


def test_connections_to_a_dead_front_door_break_before_its_mending_is_due(tmp_path: Path) -> None:
    with supervised(tmp_path / "repository", tries=1000) as supervisor:
        have_it_wait(supervisor, SERVER)
        ended = threading.Event()
        with triton.InferenceServerClient(supervisor.server.grpc_url) as client:
            client.start_stream(lambda result, error: ended.set())
            client.async_stream_infer(FRONT_DOOR, [number(-1.0)])
            assert not ended.wait(0.5)
            os.kill(processes(supervisor)[FRONT_DOOR], signal.SIGKILL)
            supervisor._look()
            told, broken = ended.wait(TOLD_S), supervisor.broken
            supervisor.server.stop(0)  # or the client could not end either
            client.stop_stream()
        assert told and broken == [FRONT_DOOR, SERVER]


def test_a_stage_that_hangs_ends_before_its_mending_is_due(tmp_path: Path) -> None:
    with supervised(tmp_path / "repository", tries=1000) as supervisor:
        have_it_wait(supervisor, STAGE)
        hanging = processes(supervisor)[STAGE]
        os.kill(hanging, signal.SIGSTOP)
        supervisor._note(STAGE, "it answers nothing")
        supervisor._look()
        deadline_s = time.monotonic() + TOLD_S
        while not supervisor._processes.ended({STAGE: hanging}):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert supervisor.broken == [STAGE] and not supervisor.status()["recoveries"]


def test_a_killed_server_is_started_again_where_it_was(supervisor: Supervisor) -> None:
    before, url = processes(supervisor), supervisor.server.grpc_url
    os.kill(before[SERVER], signal.SIGKILL)
    watch_until_ready(supervisor, 1)
    probe(url, WITHIN_S)
    assert not group(before[SERVER]) and len(group(processes(supervisor)[SERVER])) == 4
    assert supervisor.status()["server"]["restarts"] == 1


def test_what_cannot_be_mended_is_given_up(supervisor: Supervisor) -> None:
    number_before = processes(supervisor)
    (supervisor.server.repository / STAGE / "1" / "model.py").write_text("import missing_module")
    os.kill(number_before[STAGE], signal.SIGKILL)
    with pytest.raises(LaunchError, match=f"^gave {STAGE} up after 2 tries in a row: .*missing_module"):
        supervisor.watch()
    assert not supervisor.is_ready and not group(number_before[SERVER])


def test_a_stage_is_mended_while_another_one_cannot_be(tmp_path: Path) -> None:
    with supervised(tmp_path / "repository", tries=1000) as supervisor:
        before = processes(supervisor)
        (supervisor.server.repository / STAGE / "1" / "model.py").write_text("import missing_module")
        os.kill(before[STAGE], signal.SIGKILL)
        deadline_s = time.monotonic() + WITHIN_S
        while not supervisor.status()["broken"]:
            assert time.monotonic() < deadline_s
            supervisor._look()
        os.kill(before[OTHER], signal.SIGKILL)
        while not (recoveries := supervisor.status()["recoveries"]):
            assert time.monotonic() < deadline_s
            supervisor._look()
        assert [recovery["what"] for recovery in recoveries] == [OTHER]
        assert supervisor.status()["broken"].keys() == {STAGE} and not supervisor.is_ready


def test_a_stage_that_dies_while_another_is_mended_does_not_hold_it_up(tmp_path: Path) -> None:
    with supervised(tmp_path / "repository", tries=1000) as supervisor:
        before = processes(supervisor)
        (supervisor.server.repository / STAGE / "1" / "model.py").write_text("import missing_module")
        supervisor._note(OTHER, "it is to be mended")
        os.kill(before[STAGE], signal.SIGKILL)  # which no look has noticed when the other one is proved
        began_s = time.monotonic()
        supervisor._mend([OTHER], supervisor._reload)
        assert [recovery["what"] for recovery in supervisor.status()["recoveries"]] == [OTHER]
        assert time.monotonic() - began_s < WITHIN_S / 3


def test_a_server_with_many_reloads_is_replaced_when_nobody_is_served(tmp_path: Path) -> None:
    with supervised(tmp_path / "repository", reloads_per_server=1) as supervisor:
        before = processes(supervisor)
        os.kill(before[STAGE], signal.SIGKILL)
        watch_until_ready(supervisor, 2)
        assert not set(before.values()) & set(processes(supervisor).values())
        assert [recovery["what"] for recovery in supervisor.status()["recoveries"]] == [STAGE, SERVER]
