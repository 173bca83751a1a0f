"""A server at its capacity for as long as wanted, a fifth of its turns cancelled: everything that it holds stays level.

`soak` of the measurements counts turns, for numbers that can be compared; this one is a test, and fails.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from stream_omni_client import StreamOmni
from stream_omni_eval.turn_trace import TurnTrace

from benchmarks.askers import ServedAsker
from benchmarks.holdings import KINDS, TOLERANCES, Holdings, columns, growth, handle_columns, processes
from benchmarks.questions import mixed
from benchmarks.results import Values, record
from benchmarks.service import Service
from benchmarks.subjects import Subject, random_subject
from benchmarks.watch import Watch

_STREAMS = 8
_ANSWER_S = 2.0
_CANCELLED_SHARE = 0.2  # of all turns, as they ended
_REST_S = 3.0  # longer than an engine's lease
_PROGRESS_S = 60.0
_LOOKS = 1200  # at what the server holds, at the most: a picture shows no more
_SHORTEST_PERIOD_S = 0.5


def run(minutes: float, cache: Path, folder: Path) -> tuple[list[Path], list[str]]:
    """Returns the files written, and what was not as it should be."""
    subject = random_subject("tiny", cache)  # leaks do not grow with the model, but turns get fast
    path = record("endurance", {"minutes": minutes, "served": "random tiny"}, lambda: measure(subject, minutes), folder)
    result = json.loads(path.read_text(encoding="utf-8"))
    from benchmarks.endurance_plot import draw  # needs matplotlib, the numbers do not

    return [path, draw(result, path.with_suffix(".svg"))], faults(result["values"])


def measure(subject: Subject, minutes: float) -> Values:
    with subject.supervise(_STREAMS) as service:
        before = _one_answer(service.grpc_url)
        asker = ServedAsker(service.grpc_url)
        company = _Company(asker, time.monotonic() + 60 * minutes)
        with Watch(partial(Holdings.of, service), max(_SHORTEST_PERIOD_S, 60 * minutes / _LOOKS)) as watch:
            company.ask_until_the_end()
        time.sleep(_REST_S)
        rest = Holdings.of(service)
        after = _one_answer(service.grpc_url)
        recoveries = service.status()["recoveries"]
        asker.close()
    held = columns(watch.samples)
    return {
        "endings": dict(company.endings),
        "errors": company.errors[:10],
        "held": held,
        "handles": handle_columns(watch.samples),
        "growth": {kind: growth(held["seconds"], held[kind]) for kind in KINDS},
        "tolerances": TOLERANCES,
        "places_lost": rest.places_taken,
        "next_turn_is_the_same": after == before,
        "processes_left": _left(service),
        "recoveries": [f"{recovery['what']}: {recovery['cause']}" for recovery in recoveries],
    }


def _left(service: Service) -> int:
    """Processes that are still there when those that were told to end have had the time to."""
    deadline_s = time.monotonic() + _REST_S
    while any(alive := [list(processes(group)) for group in service.groups]) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return sum(map(len, alive))


def _one_answer(url: str) -> bytes:
    """Of a turn that is always the same, every byte."""
    with StreamOmni(url) as client:
        reply = client.chat("What is left?", output="speech", max_tokens=20, max_audio_ms=2000)
    assert reply.audio is not None
    return reply.text.encode() + reply.audio.samples.tobytes()


def faults(values: dict[str, Any]) -> list[str]:
    """Each with its number; empty for a run in which everything stayed level."""
    risen = [
        f"{kind} rose by {values['growth'][kind]:.1%}; at most {limit:.0%} is level"
        for kind, limit in values["tolerances"].items()
        if values["growth"][kind] > limit
    ]
    lost = [f"{values['places_lost']} places are taken after the end"] if values["places_lost"] else []
    wrong = [] if values["next_turn_is_the_same"] else ["the turn after all of it is not what it was before"]
    left = [f"{values['processes_left']} processes outlived the server"] if values["processes_left"] else []
    failed = [f"{values['endings']['failed']} turns failed, first: {values['errors'][0]}"] if values["errors"] else []
    mended = [f"something broke and was mended: {cause}" for cause in values["recoveries"]]
    return [*risen, *lost, *wrong, *left, *failed, *mended, *_too_few_left(values["endings"])]


def _too_few_left(endings: dict[str, int]) -> list[str]:
    share = endings.get("cancelled", 0) / sum(endings.values())
    return [] if share >= _CANCELLED_SHARE else [f"{share:.1%} of the turns were cancelled, not {_CANCELLED_SHARE:.0%}"]


@dataclass
class _Company:
    asker: ServedAsker
    until_s: float  # time.monotonic
    endings: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask_until_the_end(self) -> None:
        threads = [threading.Thread(target=self._ask, args=(stream,)) for stream in range(_STREAMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_PROGRESS_S)
                if thread.is_alive():
                    self._tell()

    def _tell(self) -> None:
        left_min = max(0.0, self.until_s - time.monotonic()) / 60
        with self.lock:
            counts = ", ".join(f"{count:,} {ending}" for ending, count in sorted(self.endings.items()))
        print(f"{left_min:.0f} minutes left: {counts or 'no turn is over'}", flush=True)

    def _ask(self, stream: int) -> None:
        ask, turn = mixed(_ANSWER_S), 0
        while time.monotonic() < self.until_s:
            generator = np.random.default_rng([7, stream, turn])
            leave_after = int(generator.integers(1, 6)) if self._wants_to_leave() else None
            self._note(self.asker.ask(ask(stream, turn), leave_after))
            turn += 1

    def _wants_to_leave(self) -> bool:
        """Where too few have left so far: short answers end before, and some come whole."""
        with self.lock:
            return self.endings["cancelled"] < _CANCELLED_SHARE * (self.endings.total() + 2 * _STREAMS)

    def _note(self, trace: TurnTrace) -> None:
        with self.lock:
            self.endings["failed" if trace.error else "cancelled" if trace.left else "done"] += 1
            if trace.error:
                self.errors.append(trace.error)
