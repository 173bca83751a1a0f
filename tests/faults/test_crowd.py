"""Three hundred at once at a server of sixteen places: each is served or told when to come again, none is forgotten."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream_omni.serving.metrics import FRONT_DOOR, STREAMS_ACTIVE, STREAMS_WAITING
from tests.faults.company import Turn
from tests.faults.seen import Fault, slowness
from tests.faults.supervised import Supervised
from tests.faults.test_faults import FREEING_S, PATIENCE_S, left_in_use
from tests.serving.scrape import Scrape
from tests.serving.variants import built_with

pytestmark = pytest.mark.faults

PLACES, CHAIRS, CROWD = 16, 32, 300
SHORT = {"text": {"max_tokens": 30}, "speak": {"max_audio_ms": 1000}}
HINT = re.compile(r"OVERLOADED retry_after_ms=\d+: .+; come again later")


def test_three_hundred_streams_at_sixteen_places(built_directory: Path, tmp_path: Path) -> None:
    """The supervisor looks on, and has nothing to mend."""
    built = built_with(built_directory, tmp_path, slots=PLACES, waiting=CHAIRS, wait_s=60)
    with Supervised(built, tmp_path / "log", probe_interval_s=2, drain_timeout_s=3) as server:
        right = {kind: Turn(server.grpc_url, kind, **SHORT[kind]).finish(PATIENCE_S) for kind in SHORT}
        fault = Fault(f"{CROWD} streams at once", f"{PLACES} places", "all of the turn", slowness())
        processes, began_s = server.processes(), time.monotonic()
        with most_at_once(server) as most:
            turns = [Turn(server.grpc_url, kind, **SHORT[kind]) for _ in range(CROWD // 2) for kind in SHORT]
            outcomes = [turn.finish(PATIENCE_S) for turn in turns]
        fault.hear(outcomes, began_s)
        fault.leaked = left_in_use(server, FREEING_S * fault.slowness)
        afterwards = [Turn(server.grpc_url, kind, **SHORT[kind]).finish(PATIENCE_S) for kind in SHORT]
        served = [outcome for outcome in outcomes if outcome.ending == "done"]
        fault.wrong = sum(answer.content != right[answer.kind].content for answer in served + afterwards)
        fault.orphans = len(server.orphans())
        fault.keep()
        status = server.status()
        assert server.processes() == processes and not status["recoveries"] and status["ready"]
    assert len(outcomes) == CROWD and len(served) >= PLACES + CHAIRS
    assert all(HINT.fullmatch(outcome.message) for outcome in outcomes if outcome.ending != "done")
    assert [outcome.ending for outcome in afterwards] == ["done"] * len(SHORT)
    assert most == {"running": PLACES, "waiting": CHAIRS}
    assert fault.lost_nothing, fault


@contextmanager
def most_at_once(server: Supervised) -> Iterator[dict[str, float]]:
    """The highest that the front door's gauges were seen at."""
    gauges = {"running": (STREAMS_ACTIVE, {"stage": FRONT_DOOR}), "waiting": (STREAMS_WAITING, {})}
    seen = dict.fromkeys(gauges, 0.0)
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            page = Scrape(server.metrics_url)
            for name, (gauge, labels) in gauges.items():
                seen[name] = max(seen[name], page(gauge, **labels))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()
