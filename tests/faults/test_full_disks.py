"""No room left: for the log, and in the memory through which the server's processes talk to each other."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream_omni.serving.launcher import TritonServer
from tests.faults.company import Outcome, Turn
from tests.faults.conftest import COMPANY
from tests.faults.seen import Fault, slowness
from tests.faults.supervised import Supervised
from tests.faults.test_faults import BROKEN, FREEING_S, PATIENCE_S, left_in_use
from tests.serving.raw_client import picture, tone

pytestmark = pytest.mark.faults

# Shared memory of its own, of a given size, so that nobody else's is filled.
_SMALL = 'mount -t tmpfs -o size="$0" tmpfs /dev/shm && exec "$@"'


def within(size: str) -> list[str]:
    """The command that runs another one there. Skips the test where the system forbids it."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    command = [*unshare, "sh", "-c", _SMALL, size]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount shared memory of his own")
    return command


@contextmanager
def filled(process: int) -> Iterator[None]:
    """The shared memory of a process, to the last byte."""
    filler = Path("/proc", str(process), "root", "dev", "shm", "filler")
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
        yield
    finally:
        filler.unlink()


def ask_all(grpc_url: str) -> list[Outcome]:
    turns = [Turn(grpc_url, kind) for kind in COMPANY]
    return [turn.finish(PATIENCE_S) for turn in turns]


@pytest.fixture(scope="module")
def right(server: TritonServer) -> dict[str, Outcome]:
    return {outcome.kind: outcome for outcome in ask_all(server.grpc_url)}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_full_disk_for_the_log(built_directory: Path, right: dict[str, Outcome], log_format: str) -> None:
    """Lines are lost, turns are not, nor mends, nor what clients are told."""
    with Supervised(built_directory, Path("/dev/full"), log_format=log_format) as serving:
        fault = Fault("no room for the log", log_format, "all of the turn", slowness())
        began_s = time.monotonic()
        outcomes = [outcome for _ in range(3) for outcome in ask_all(serving.grpc_url)]
        fault.hear(outcomes, began_s)
        fault.wrong = sum(outcome.content != right[outcome.kind].content for outcome in outcomes)
        turn = Turn(serving.grpc_url, "speak")
        turn.wait_for(lambda heard: heard.get("audio", 0) >= 1, PATIENCE_S)
        os.kill(serving.processes()["vocoder"], signal.SIGKILL)
        told = turn.finish(PATIENCE_S)
        serving.wait_for_recovery()
        fault.leaked = left_in_use(serving, FREEING_S * fault.slowness)
        serving.process.terminate()
        code = serving.process.wait(PATIENCE_S)
        fault.orphans = len(serving.orphans())
        fault.keep()
    assert {outcome.ending for outcome in outcomes} == {"done"} and told.ending == "INTERNAL" and code == 0
    assert fault.lost_nothing, fault


def test_shared_memory_that_is_full_from_the_start(built_directory: Path, tmp_path: Path) -> None:
    """A sentence that says what is missing, and no server that falls over later."""
    command = Supervised.command(built_directory, within("1m"))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    said = ended.stderr.splitlines()[-1]
    Fault("full /dev/shm", "from the start on", "at start", slowness()).keep()
    assert ended.returncode == 1 and "/dev/shm has 1 MB free, and 10 models need 40 at least" in said, ended.stderr


@pytest.mark.parametrize("when", ["idle", "middle"])
def test_shared_memory_that_becomes_full(
    built_directory: Path, tmp_path: Path, server: TritonServer, right: dict[str, Outcome], when: str
) -> None:
    """What the processes have got already is enough for some turns; the others are told."""
    large = {"audio": tone(29.0), "image": [picture((1500, 1000))] * 2}
    heard = Turn(server.grpc_url, "question", **large).finish(PATIENCE_S)
    with Supervised(built_directory, tmp_path / "log", within("64m"), probe_interval_s=2) as serving:
        fault = Fault("full /dev/shm", "all", when, slowness())
        turns = [] if when == "idle" else [Turn(serving.grpc_url, kind) for kind in COMPANY]
        for turn in turns:
            turn.wait_for(lambda events: sum(events.values()) >= 2, PATIENCE_S)
        with filled(serving.process.pid):
            injected_s = time.monotonic()
            question = Turn(serving.grpc_url, "question", **large)
            outcomes = [turn.finish(PATIENCE_S) for turn in turns] + ask_all(serving.grpc_url)
            loud = question.finish(PATIENCE_S)
            if "shared memory" in loud.ending:  # the front door never saw the request
                loud.ending = "Triton's own error"
            fault.hear([*outcomes, loud], injected_s)
        while not serving.is_ready():
            time.sleep(0.1)
        afterwards = ask_all(serving.grpc_url)
        loud_afterwards = Turn(serving.grpc_url, "question", **large).finish(PATIENCE_S)
        fault.leaked = left_in_use(serving, FREEING_S * fault.slowness)
        fault.orphans = len(serving.orphans())
        answers = [outcome for outcome in outcomes if outcome.ending == "done"] + afterwards
        fault.wrong = sum(answer.content != right[answer.kind].content for answer in answers)
        fault.wrong += loud_afterwards.content != heard.content
        fault.keep()
    assert {outcome.ending for outcome in outcomes} <= {"done", "INTERNAL", *BROKEN}
    assert loud.ending in ("INTERNAL", "Triton's own error"), "it needs more than a process has from the start"
    assert {outcome.ending for outcome in [*afterwards, loud_afterwards]} == {"done"}
    assert fault.lost_nothing, fault
