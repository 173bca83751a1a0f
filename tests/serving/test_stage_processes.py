"""Seeing that a stage's process has ended, on processes that look like Triton's."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stream_omni.serving.errors import StageError
from stream_omni.serving.stage_calls import StageCalls
from stream_omni.serving.stage_processes import StageProcesses


def start(tmp_path: Path, model: str) -> subprocess.Popen[bytes]:
    path = tmp_path / "model_repository" / model / "1" / "model.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("import time; time.sleep(60)")
    return subprocess.Popen([sys.executable, str(path), "stream_omni_region"])


def test_a_stage_is_found_and_its_end_seen_though_nobody_reaps_it(tmp_path: Path) -> None:
    processes = StageProcesses(os.getpid())
    llm, vocoder = start(tmp_path, "llm"), start(tmp_path, "vocoder")
    wait_until_known(processes, "llm", "vocoder")
    found = processes.of(("llm", "vocoder", "unheard_of"))
    assert found == {"llm": llm.pid, "vocoder": vocoder.pid} and processes.ended(found) is None
    vocoder.kill()
    while Path(f"/proc/{vocoder.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert processes.ended(found) == "vocoder"
    left = processes.of(("llm", "vocoder", "unheard_of"))
    assert left == {"llm": llm.pid}
    assert processes.missing(("llm", "vocoder", "unheard_of"), left) == "vocoder"  # Triton runs the last one by itself
    again = start(tmp_path, "vocoder")  # loaded again: calls from now on need the new one
    wait_until_known(processes, "vocoder")
    found_again = processes.of(("llm", "vocoder"))
    assert found_again == {"llm": llm.pid, "vocoder": again.pid} and processes.ended(found) == "vocoder"
    assert processes.missing(("llm", "vocoder", "unheard_of"), found_again) is None
    for process in (llm, vocoder, again):
        process.kill()
        process.wait()


def wait_until_known(processes: StageProcesses, *stages: str) -> None:
    """A process has its arguments a moment after its number."""
    deadline_s = time.monotonic() + 10
    while len(processes.of(stages)) < len(stages):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_call_that_would_wait_for_ever_ends_with_the_process(tmp_path: Path) -> None:
    stage, never = start(tmp_path, "vocoder"), threading.Event()
    processes = StageProcesses(os.getpid())
    wait_until_known(processes, "vocoder")

    async def call() -> float:
        def infer(*_: object) -> dict[str, object]:
            never.wait()  # as a call does whose process died: its thread stays
            return {}

        calls = StageCalls(asyncio.get_running_loop(), infer, processes)  # type: ignore[arg-type]
        asyncio.get_running_loop().call_later(0.1, stage.kill)
        began_s = time.monotonic()
        with pytest.raises(StageError, match="the stage vocoder failed"):
            await calls.call("token2wav", {}, (), timeout_s=30)
        return time.monotonic() - began_s

    assert asyncio.run(call()) < 2
    stage.wait()


@pytest.mark.parametrize("is_new", [False, True], ids=["a caller that knew it", "a caller that never saw it live"])
def test_a_call_to_a_stage_without_a_process_is_not_even_made(tmp_path: Path, is_new: bool) -> None:
    stage, beside = start(tmp_path, "vocoder"), start(tmp_path, "cosyvoice_flow")
    processes = StageProcesses(os.getpid())
    wait_until_known(processes, "vocoder", "cosyvoice_flow")
    stage.kill()
    stage.wait()
    if is_new:
        processes = StageProcesses(os.getpid())

    async def call() -> None:
        def infer(*_: object) -> dict[str, object]:
            raise AssertionError("Triton would keep it for a second")

        calls = StageCalls(asyncio.get_running_loop(), infer, processes)  # type: ignore[arg-type]
        with pytest.raises(StageError, match="the stage vocoder failed"):
            await calls.call("token2wav", {}, (), timeout_s=30)

    asyncio.run(call())
    beside.kill()
    beside.wait()
