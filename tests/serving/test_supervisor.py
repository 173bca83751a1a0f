"""Supervision on a real server with two trivial models: what dies is there again, or it is given up loudly."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from stream_omni.serving.launcher import LaunchError, TritonServer
from stream_omni.serving.stage_watch import SERVER, StageWatch
from stream_omni.serving.supervisor import Supervision, Supervisor
from stream_omni.serving.tries import Tries
from tests.serving.small_repository import FRONT_DOOR, OTHER, STAGE, UNARY_DOOR, make_repository, number, probe
from tests.serving.test_launcher import group

WITHIN_S = 60.0  # a busy machine's time for what takes one or two seconds


@contextmanager
def supervised(folder: Path, with_unary_door: bool = False, **settings: int) -> Iterator[Supervisor]:
    server = TritonServer(make_repository(folder, with_unary_door), probe=probe, drain_timeout_s=3)
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


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


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


def test_clients_learn_of_a_dead_front_door_long_before_its_mend_is_due(supervisor: Supervisor) -> None:
    """It was replaced several times of late, and the next time is some way off."""
    supervisor._tries[SERVER] = tries = Tries(1000)
    while (tries.wait_s(time.monotonic()) or 0) < WITHIN_S / 4:
        tries.note(time.monotonic())
    before, ended = processes(supervisor), threading.Event()
    with triton.InferenceServerClient(supervisor.server.grpc_url) as client:
        client.start_stream(lambda result, error: ended.set())
        client.async_stream_infer(FRONT_DOOR, [number(-1.0)])
        assert not ended.wait(0.5)
        os.kill(before[FRONT_DOOR], signal.SIGKILL)
        wait_until(lambda: supervisor._look() or ended.is_set())
        assert (tries.wait_s(time.monotonic()) or 0) > 0 and SERVER in supervisor.broken
        client.stop_stream()


def test_callers_learn_of_a_hanging_stage_long_before_its_mend_is_due(supervisor: Supervisor) -> None:
    supervisor._tries[STAGE] = tries = Tries(1000)
    while (tries.wait_s(time.monotonic()) or 0) < WITHIN_S / 4:
        tries.note(time.monotonic())
    before = processes(supervisor)
    os.kill(before[STAGE], signal.SIGSTOP)
    supervisor._note(STAGE, "it answers nothing")
    wait_until(lambda: STAGE in supervisor._dead_stages())
    supervisor._look()
    assert supervisor.status()["recoveries"] == [] and STAGE in supervisor.broken


@pytest.mark.parametrize("callers", [0, 1])
def test_a_dead_unary_door_breaks_connections_where_somebody_waits_for_it(tmp_path: Path, callers: int) -> None:
    """Nobody sets a deadline. Where nobody waits, the streams of others live on."""
    with supervised(tmp_path / "repository", with_unary_door=True) as supervisor:
        before, told = processes(supervisor), list[str]()

        def call() -> None:
            with triton.InferenceServerClient(supervisor.server.grpc_url) as client:
                try:
                    client.infer(UNARY_DOOR, [number(-1.0)])
                except triton.InferenceServerException as error:
                    told.append(str(error.status()))

        waiting = [threading.Thread(target=call, daemon=True) for _ in range(callers)]
        for thread in waiting:
            thread.start()
        wait_until(lambda: supervisor.server.guests_of(UNARY_DOOR) == callers)
        os.kill(before[UNARY_DOOR], signal.SIGKILL)
        watch_until_ready(supervisor, 1 + callers)
        for thread in waiting:
            thread.join(WITHIN_S)
        assert told == ["StatusCode.UNAVAILABLE"] * callers
        mended = [recovery["what"] for recovery in supervisor.status()["recoveries"]]
        assert mended == [UNARY_DOOR, SERVER][: 1 + callers]
        assert (processes(supervisor)[SERVER] == before[SERVER]) == (callers == 0)
        assert supervisor.server.guests_of(UNARY_DOOR) == 0 and supervisor.server.step_answers(UNARY_DOOR, WITHIN_S)


def test_a_unary_door_that_hangs_is_found(tmp_path: Path) -> None:
    with supervised(tmp_path / "repository", with_unary_door=True) as supervisor:
        watch = StageWatch(supervisor.server, lambda: processes(supervisor), 2.0)
        assert watch._suspect_step(processes(supervisor)) is None
        os.kill(processes(supervisor)[UNARY_DOOR], signal.SIGSTOP)
        assert watch._suspect_step(processes(supervisor)) == (UNARY_DOOR, "it answers nothing")


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


def test_a_signal_while_it_ends_does_not_hide_that_it_gave_up(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor, "drain", interrupted)
    (supervisor.server.repository / STAGE / "1" / "model.py").write_text("import missing_module")
    os.kill(processes(supervisor)[STAGE], signal.SIGKILL)
    with pytest.raises(LaunchError, match=f"^gave {STAGE} up after 2 tries in a row: .*missing_module"):
        supervisor.watch()


def test_a_full_disk_is_a_failed_try_like_others(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: str) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    os.kill(processes(supervisor)[SERVER], signal.SIGKILL)
    with pytest.raises(LaunchError, match=r"^gave tritonserver up after 2 tries .*cannot be started: .*No space"):
        supervisor.watch()


def test_a_full_disk_does_not_keep_a_server_from_ending(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: float) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    server = processes(supervisor)[SERVER]
    monkeypatch.setattr(supervisor.server, "announce_drain", full)
    supervisor.drain()
    assert not group(server)


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
