"""Whether the processes of other stages of this server live.

Triton answers nothing for calls that a stage had taken in when its process died. All stages' processes are children of
the server, so the front door can see for itself, long before a timeout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

_PROCESSES = Path("/proc")

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def processor_s(number: int) -> float:
    """How long a process has had a processor since its start; 0 of one that is no more."""
    try:
        fields = (_PROCESSES / str(number) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


class StageProcesses:
    """Of the models that the server with process number ``server`` runs from Python."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._known: dict[str, int] = {}
        self._repository: Path | None = None  # where the processes run from

    def of(self, stages: Sequence[str]) -> dict[str, int]:
        """Process numbers by stage; a stage whose process is not to be found is left out."""
        if any(stage not in self._known or not self._lives(self._known[stage]) for stage in stages):
            self._known = self._find()
        return {stage: self._known[stage] for stage in stages if stage in self._known}

    def ended(self, processes: Mapping[str, int]) -> str | None:
        """A stage of ``processes`` whose process is no more."""
        return next((stage for stage, number in processes.items() if not self._lives(number)), None)

    def missing(self, stages: Sequence[str], found: Mapping[str, int]) -> str | None:
        """One of ``stages`` that runs from Python and is not in ``found``. Others Triton runs by itself, and they never
        have a process."""
        return next((stage for stage in stages if stage not in found and self._has_code(stage)), None)

    def _has_code(self, stage: str) -> bool:
        return self._repository is not None and any((self._repository / stage).glob("*/model.py"))

    def _lives(self, number: int) -> bool:
        """Neither gone nor a zombie, and no stranger who has got the number."""
        try:
            state, parent = (_PROCESSES / str(number) / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            return False
        return state not in "ZX" and int(parent) == self._server

    def _find(self) -> dict[str, int]:
        """Triton starts a stub with the path of the model's Python file: .../MODEL/VERSION/model.py."""
        found = {}
        for process in _PROCESSES.glob("[0-9]*"):
            number = int(process.name)
            if self._lives(number):
                try:
                    arguments = (process / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                for argument in map(os.fsdecode, arguments):
                    if argument.endswith("/model.py"):
                        model = Path(argument).parents[1]
                        found[model.name], self._repository = number, model.parent
        return found
