"""What Kubernetes' controllers make of a wanted number of replicas: pods that start, are ready, end and are gone."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.helm.chart import Manifest
from tests.k8s.autoscaler import Pod
from tests.k8s.replica import Ending, Replica


@dataclass
class Deployment:
    """``pod``: the template; at most ``places`` pods, of which each keeps its address. Used with ``with``."""

    pod: Manifest
    built: Path
    folder: Path
    places: int
    wanted: int = 0
    endings: list[Ending] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    _replicas: dict[int, Replica] = field(default_factory=dict)
    _leaving: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Deployment:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._leaving:
            thread.join()
        for replica in self._replicas.values():
            self._note_start(replica)
            replica.close()

    @property
    def pods(self) -> list[Pod]:
        """With those that end."""
        return [Pod(replica.name, is_ending=replica.is_ending) for replica in list(self._replicas.values())]

    @property
    def ready(self) -> int:
        return sum(replica.is_ready and not replica.is_ending for replica in list(self._replicas.values()))

    @property
    def ending(self) -> int:
        return sum(replica.is_ending for replica in list(self._replicas.values()))

    def scale(self, wanted: int) -> None:
        """Starts and ends what it takes, and does not wait. The youngest end first; a place whose pod still ends is
        not free."""
        self.wanted = wanted
        staying = [number for number, replica in sorted(self._replicas.items()) if not replica.is_ending]
        for number in staying[wanted:]:
            self._replicas[number].is_ending = True
            self._leaving.append(threading.Thread(target=self._end, args=(number,)))
            self._leaving[-1].start()
        free = [number for number in range(self.places) if number not in self._replicas]
        for number in free[: max(0, wanted - len(staying))]:
            self._replicas[number] = Replica(self.pod, self.built, self.folder, number)

    def wait_until_ready(self) -> None:
        for replica in self._replicas.values():
            replica.wait_until_ready()

    def failures(self) -> list[str]:
        """What the servers' logs say of turns that failed, with the cause that clients are not told."""
        return [line for log in sorted(self.folder.glob("omni-server-*.log")) for line in failures_in(log)]

    def _end(self, number: int) -> None:
        self._note_start(self._replicas[number])
        self.endings.append(self._replicas[number].end())
        del self._replicas[number]

    def _note_start(self, replica: Replica) -> None:
        if replica.started_in_s is not None:
            self.starts_s.append(replica.started_in_s)


def failures_in(log: Path) -> list[str]:
    """Of a server's JSON log: turns and stages that failed, and owners that an engine gave up."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = ('"event": "stage_failed"', '"event": "turn_failed"', "has not polled for")
    return [f"{log.stem}: {line}" for line in lines if any(words in line for words in told)]
