"""The wall clock is set, as by a time server or an operator: no turn, deadline or mend may follow it."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_omni.serving.launcher import TritonServer
from tests.faults.company import Turn
from tests.faults.conftest import COMPANY
from tests.faults.seen import Fault, slowness
from tests.faults.supervised import Supervised
from tests.faults.test_faults import FREEING_S, PATIENCE_S, left_in_use

pytestmark = pytest.mark.faults

JUMPS = {"a day ahead": 86_400, "an hour back": -3600}  # seconds
_SOURCE = Path(__file__).with_name("wall_clock.c")


class WallClock:
    """Of the processes with ``environment``; ``folder`` takes its files. Skips the test without a C compiler."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("cc") is None:
            pytest.skip("there is no C compiler")
        library, self._file = folder / "wall_clock.so", folder / "wall_clock"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, _SOURCE, "-ldl", "-lpthread"], check=True)
        self._file.write_bytes(struct.pack("l", 0))
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self._file)}

    def jump(self, seconds: int) -> None:
        with self._file.open("r+b") as file:
            file.write(struct.pack("l", seconds))


@pytest.mark.parametrize("jump", JUMPS)
def test_the_clock_jumps(built_directory: Path, tmp_path: Path, server: TritonServer, jump: str) -> None:
    """Every process of the server sees it, and Triton's own C++ too."""
    alone = {kind: Turn(server.grpc_url, kind).finish(PATIENCE_S) for kind in COMPANY}
    clock = WallClock(tmp_path)
    options = {"probe_interval_s": 2, "probe_timeout_s": 20 * slowness()}
    log = tmp_path / "log"
    with Supervised(built_directory, log, environment=clock.environment, **options) as serving:
        fault = Fault("clock jumps", jump, "middle", slowness())
        turns = [Turn(serving.grpc_url, kind) for kind in COMPANY]
        turns[1].wait_for(lambda heard: heard.get("audio", 0) >= 1, PATIENCE_S)
        clock.jump(JUMPS[jump])
        injected_s = time.monotonic()
        outcomes = [turn.finish(PATIENCE_S) for turn in turns]
        time.sleep(5)  # two looks of the supervisor
        fault.hear(outcomes, injected_s)
        recoveries = serving.recoveries()
        os.kill(serving.processes()["vocoder"], signal.SIGKILL)
        (mend,) = serving.wait_for_recovery()
        fault.noticed_s, fault.recovered_s = None, None  # nothing broke by the jump
        afterwards = [Turn(serving.grpc_url, kind).finish(PATIENCE_S) for kind in COMPANY]
        fault.leaked = left_in_use(serving, FREEING_S * fault.slowness)
        fault.wrong = sum(outcome.content != alone[outcome.kind].content for outcome in outcomes + afterwards)
        serving.process.terminate()
        code = serving.process.wait(PATIENCE_S)
        fault.orphans = len(serving.orphans())
        fault.keep()
        last = log.read_text().rstrip().splitlines()[-1]
    assert f"{datetime.now(UTC) + timedelta(seconds=JUMPS[jump]):%Y-%m-%dT%H}" in last, "it did not jump"
    assert [outcome.ending for outcome in outcomes + afterwards] == ["done"] * 2 * len(COMPANY)
    assert recoveries == [] and mend["what"] == "vocoder" and code == 0
    assert fault.lost_nothing, fault
