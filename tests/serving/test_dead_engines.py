"""What an engine said last is taken back when its process has ended, and only then."""

from __future__ import annotations

import os
from pathlib import Path

from stream_omni.serving.dead_engines import DeadEngines
from stream_omni.serving.metrics import KV_SLOTS, STREAMS_ACTIVE, STREAMS_CAPACITY
from stream_omni.serving.stage_processes import StageProcesses
from tests.serving.notebook import Notebook, key
from tests.serving.test_stage_processes import start, wait_until_known


def test_each_gauge_of_a_dead_engine_is_set_to_zero_once(tmp_path: Path) -> None:
    processes, notes = StageProcesses(os.getpid()), Notebook()
    engines = DeadEngines(processes, notes)
    engines.look()  # none has been started yet
    llm, speech_top = start(tmp_path, "llm"), start(tmp_path, "speech_top")
    wait_until_known(processes, "llm", "speech_top")
    engines.look()
    assert not notes.gauges
    llm.kill()
    llm.wait()
    engines.look()
    capacity, active = key(STREAMS_CAPACITY, stage="llm"), key(STREAMS_ACTIVE, stage="llm")
    slots = [key(KV_SLOTS, stage="llm", state=state) for state in ("used", "free")]
    assert notes.gauges == dict.fromkeys([capacity, active, *slots], 0)
    notes.gauges.clear()
    engines.look()
    again = start(tmp_path, "llm")
    wait_until_known(processes, "llm")
    engines.look()
    assert not notes.gauges
    again.kill()
    again.wait()
    engines.look()
    assert notes.gauges.keys() == {capacity, active, *slots}
    speech_top.kill()
    speech_top.wait()
