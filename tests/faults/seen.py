"""What fault tests saw: one line of JSON for each fault, from which the table of docs/reliability.md is made."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.company import Outcome

SEEN = Path(os.environ.get("STREAM_OMNI_FAULTS_SEEN", Path(__file__).with_name("seen.jsonl")))
_BURN_S = 0.2
_INSIDE = re.compile(r'Traceback|File "|\.py\b|(?<![\w/:])/\w+/|0x[0-9a-f]{6}')  # paths, traces, addresses of objects


@dataclass
class Fault:
    """``slowness``: how much longer than on an idle machine computing took around the fault; times are in seconds
    from its injection, None where there was nothing of the kind. What may be lost is None where nobody looked."""

    fault: str
    target: str
    when: str
    slowness: float
    endings: dict[str, int] = field(default_factory=dict)  # of the turns that ran: done, a reason, a gRPC status
    told_s: float | None = None  # the last affected client
    noticed_s: float | None = None
    told_after_notice_s: float | None = None
    recovered_s: float | None = None
    leaked: float | None = None  # places and slots; shared memory of a server that is gone
    orphans: int | None = None
    server_fell: bool = False  # tritonserver aborted: the process was killed while it held a lock in shared memory
    wrong: int | None = None  # answers whose bytes were not those of the same turn without a fault
    streams: int = 0  # that ran, of those that are told apart in the table
    cases: int = 1  # injected in one test

    def hear(self, outcomes: Sequence[Outcome], injected_s: float) -> None:
        """Raises AssertionError where a client was shown the server's inside."""
        for outcome in outcomes:
            assert not _INSIDE.search(outcome.message or outcome.ending), outcome
        self.endings = dict(Counter(outcome.ending for outcome in outcomes))
        told = [outcome.ended_s - injected_s for outcome in outcomes if outcome.ending != "done"]
        self.told_s = max(told, default=None)
        if self.told_s is not None and self.noticed_s is not None:
            self.told_after_notice_s = max(0.0, self.told_s - self.noticed_s)

    def see(self, recoveries: Sequence[dict[str, Any]], injected_s: float) -> None:
        """What the supervisor tells of its mending."""
        self.noticed_s = min(recovery["noticed_s"] for recovery in recoveries) - injected_s
        self.recovered_s = max(recovery["answering_s"] for recovery in recoveries) - injected_s

    @property
    def lost_nothing(self) -> bool:
        """And that was looked at."""
        return (self.leaked, self.orphans, self.wrong) == (0, 0, 0)

    def keep(self) -> None:
        with SEEN.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self) | {"processors": os.cpu_count()}, ensure_ascii=False) + "\n")


def slowness() -> float:
    """1 on a machine that has a processor free for this process."""
    began_s, burnt_s = time.perf_counter(), time.process_time()
    while time.process_time() - burnt_s < _BURN_S:
        pass
    return max(1.0, (time.perf_counter() - began_s) / _BURN_S)
