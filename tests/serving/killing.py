"""Killing a stage's process at a moment that we choose."""

from __future__ import annotations

import os
import signal
import time

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.stage_processes import StageProcesses

LONGER_THAN_A_POLL_S = 0.4


def kill_between_calls(server: TritonServer, stage: str) -> None:
    """Kill the process of ``stage`` while it is in none of Triton's calls, by letting the front door call nothing.

    In one it may hold a lock in shared memory, and tritonserver 2.51 goes with it (docs/reliability.md, what is left):
    what becomes of the server then is for tests of its supervisor, which start it again.
    """
    assert server.process is not None
    processes = StageProcesses(server.process.pid).of(("stream_omni", stage))
    os.kill(processes["stream_omni"], signal.SIGSTOP)
    try:
        time.sleep(LONGER_THAN_A_POLL_S)
        os.kill(processes[stage], signal.SIGKILL)
    finally:
        os.kill(processes["stream_omni"], signal.SIGCONT)
