"""Three hundred at once at a server of sixteen places: each is served or told when to come again, none is forgotten."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.faults.company import Turn
from tests.faults.seen import Fault, slowness
from tests.faults.test_faults import FREEING_S, PATIENCE_S, left_in_use
from tests.faults.test_wrong_numbers import running
from tests.serving.variants import served_with

pytestmark = pytest.mark.faults

PLACES, CHAIRS, CROWD = 16, 32, 300
SHORT = {"text": {"max_tokens": 30}, "speak": {"max_audio_ms": 1000}}
HINT = re.compile(r"OVERLOADED retry_after_ms=\d+: .+; come again later")


def test_three_hundred_streams_at_sixteen_places(built_directory: Path, tmp_path: Path) -> None:
    with served_with(built_directory, tmp_path, slots=PLACES, waiting=CHAIRS, wait_s=60) as server:
        right = {kind: Turn(server.grpc_url, kind, **SHORT[kind]).finish(PATIENCE_S) for kind in SHORT}
        fault = Fault(f"{CROWD} streams at once", f"{PLACES} places", "all of the turn", slowness())
        processes, began_s = running(server), time.monotonic()
        turns = [Turn(server.grpc_url, kind, **SHORT[kind]) for _ in range(CROWD // 2) for kind in SHORT]
        outcomes = [turn.finish(PATIENCE_S) for turn in turns]
        fault.hear(outcomes, began_s)
        fault.leaked = left_in_use(server, FREEING_S * fault.slowness)
        afterwards = [Turn(server.grpc_url, kind, **SHORT[kind]).finish(PATIENCE_S) for kind in SHORT]
        served = [outcome for outcome in outcomes if outcome.ending == "done"]
        fault.wrong = sum(answer.content != right[answer.kind].content for answer in served + afterwards)
        fault.orphans = len(running(server) - processes)
        fault.keep()
    assert len(outcomes) == CROWD and len(served) >= PLACES + CHAIRS
    assert all(HINT.fullmatch(outcome.message) for outcome in outcomes if outcome.ending != "done")
    assert [outcome.ending for outcome in afterwards] == ["done"] * len(SHORT)
    assert fault.lost_nothing, fault
