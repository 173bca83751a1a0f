"""The gauges of an engine whose process has ended: nobody else can take back what it said last.

Triton keeps the metrics of a process that died. So the front door, whose process may set them as well, looks after the
engines, which alone have gauges of their own; those of the front door itself go with the server.
"""

from __future__ import annotations

import itertools
import threading
import time

from stream_omni.serving.metrics import ENGINES, METRICS, Recorder
from stream_omni.serving.stage_processes import StageProcesses

_LOOK_S = 0.25  # far less than an engine takes to start, whose own values must come after these


class DeadEngines:
    """Sets the gauges of each engine to 0 in ``recorder`` when its process among ``processes`` has ended.

    A new process sets its own, at its start and with every turn that it takes in.
    """

    def __init__(self, processes: StageProcesses, recorder: Recorder) -> None:
        self._processes, self._recorder = processes, recorder
        self._living: set[str] = set()

    def watch(self) -> None:
        """From now on, on a thread of its own."""
        threading.Thread(target=self._watch, daemon=True, name="dead-engines").start()

    def _watch(self) -> None:
        while True:
            self.look()
            time.sleep(_LOOK_S)

    def look(self) -> None:
        living = set(self._processes.of(ENGINES))
        for engine in self._living - living:
            self._take_back(engine)
        self._living = living

    def _take_back(self, engine: str) -> None:
        for metric in METRICS:
            if metric.kind == "gauge" and engine in metric.stages:
                others = {name: values for name, values in metric.labels.items() if name != "stage"}
                for values in itertools.product(*others.values()):
                    self._recorder.set(metric, 0, stage=engine, **dict(zip(others, values, strict=True)))
