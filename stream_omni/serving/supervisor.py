"""Keeps a server answering: watches its stages, loads a dead one again, starts a dead server again, or gives up loudly.

Triton itself never restarts a model's process, and calls a model ready whose process is dead.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from stream_omni.serving.errors import blamed_stage
from stream_omni.serving.launcher import LaunchError, TritonServer
from stream_omni.serving.metrics import FRONT_DOOR, UNARY_DOORS
from stream_omni.serving.metrics_page import MetricsPage
from stream_omni.serving.stage_processes import StageProcesses
from stream_omni.serving.stage_watch import SERVER, StageWatch, Watcher
from stream_omni.serving.tries import Tries

log = logging.getLogger(__name__)

_LOOK_S = 0.1
_ENDING_S = 1.0  # for the errors of turns that the deadline cut
_EXIT_S = 3.0  # for the end of a server that serves nobody
_KEPT_RECOVERIES = 100


@dataclass(frozen=True)
class Supervision:
    """``tries`` at mending one thing in a row, then it is given up. After ``reloads_per_server`` the server is started
    anew when nobody is served: of each dead process some threads of the front door still wait."""

    probe_interval_s: float = 10.0
    probe_timeout_s: float = 30.0
    tries: int = 5
    reloads_per_server: int = 20


@dataclass(frozen=True)
class Recovery:
    """``noticed_s`` and ``answering_s`` are times of time.monotonic, which all processes of a machine share."""

    what: str
    cause: str
    noticed_s: float
    answering_s: float


class Supervisor:
    """Of ``server``, from the thread that calls :meth:`start` and :meth:`watch`; the rest may be called from any."""

    def __init__(self, server: TritonServer, settings: Supervision) -> None:
        self.server, self._settings = server, settings
        self._stages = sorted({path.parents[1].name for path in server.repository.glob("*/*/model.py")})
        watch = StageWatch(server, self._numbers, settings.probe_timeout_s)
        self._watcher = Watcher(watch, settings.probe_interval_s)
        self._broken: dict[str, tuple[str, float]] = {}  # a stage or SERVER -> why, and since when it is known
        self._tries: dict[str, Tries] = {}
        self._processes = StageProcesses(0)
        self._alive: dict[str, int] = {}  # process numbers by stage, as of when they last answered
        self._recoveries: deque[Recovery] = deque(maxlen=_KEPT_RECOVERIES)
        self._reloads: Counter[str] = Counter()
        self._mended = Counter(dict.fromkeys((*self._stages, SERVER), 0))
        self._starts = self._reloads_of_this_server = 0
        self._ready = self._draining = self._leaving = False
        self._began_s = self._looked_s = time.monotonic()

    @property
    def is_ready(self) -> bool:
        """Every stage has answered, none is known to be dead, and turns are let in and wanted."""
        return self._ready and not (self._draining or self._leaving)

    @property
    def idle_s(self) -> float:
        """How long the supervising thread has not come by: as long as a start takes, or it hangs."""
        return time.monotonic() - self._looked_s

    @property
    def supervised_s(self) -> float:
        return time.monotonic() - self._began_s

    @property
    def broken(self) -> Collection[str]:
        """Stages, or SERVER, that are known to be dead or silent."""
        return list(self._broken)

    @property
    def mended(self) -> Mapping[str, int]:
        """How often each stage, and SERVER, answered again."""
        return dict(self._mended)

    def status(self) -> dict[str, Any]:
        """For people and tests, as JSON."""
        running = self._running_turns()
        processes = {
            stage: {"process": self._alive.get(stage), "reloads": self._reloads[stage]} for stage in self._stages
        }
        return {
            "ready": self.is_ready,
            "leaving": self._leaving,
            "draining": self._draining,
            "broken": {what: cause for what, (cause, _) in list(self._broken.items())},
            "turns": None if running is None else {"running": running[0], "waiting": running[1]},
            "server": {"process": self._server_process(), "restarts": max(0, self._starts - 1)},
            "stages": processes,
            "recoveries": [asdict(recovery) for recovery in list(self._recoveries)],
            "monotonic_s": time.monotonic(),
            "supervised_s": self.supervised_s,
        }

    def start(self) -> None:
        """Raises LaunchError."""
        self._start_server()
        self._become_ready()

    def watch(self) -> None:
        """Until an exception ends it. Raises LaunchError when something cannot be mended; turns that do not need
        it have had their time to finish then, and nothing is left running."""
        try:
            while True:
                time.sleep(_LOOK_S)
                self._look()
        except LaunchError:
            with suppress(KeyboardInterrupt):  # who wants it to end sooner does not make it a good end
                self.drain()
            raise

    def leave(self) -> None:
        """From now on this server is not ready, so that balancers send it no more; turns that come are still let in."""
        self._leaving = True

    def refuse_turns(self) -> None:
        """From now on this server is not ready, and will not be again."""
        self._draining = True

    def drain(self) -> None:
        """Not ready first; then new turns are refused, running ones finish or are ended with an error when the drain
        time is over, and the server ends."""
        self.refuse_turns()
        self._watcher.pause()
        deadline_s = time.monotonic() + self.server.drain_timeout_s
        self._finish_turns(deadline_s)
        self.server.stop(max(_EXIT_S, deadline_s - time.monotonic()))

    def _finish_turns(self, deadline_s: float) -> None:
        """At once where no front door is there to be waited for."""
        try:
            self.server.announce_drain(deadline_s)
        except OSError as error:  # a full disk: those who come are let in until the server ends
            log.error("new turns cannot be refused: %s", error)
        time.sleep(_LOOK_S)  # twice as long as the front door looks away
        while time.monotonic() < deadline_s + _ENDING_S:
            if self._server_process() is None or FRONT_DOOR in self._dead_stages() or self._running_turns() == (0, 0):
                return
            time.sleep(_LOOK_S)

    def _look(self) -> None:
        self._looked_s = time.monotonic()
        self._note_what_broke()
        if not self._broken:
            return
        self._ready = False
        self._watcher.pause()
        if SERVER in self._broken:
            self._mend([SERVER], self._start_server)
        else:
            self._mend(sorted(self._broken), self._reload)
        if not self._broken:
            self._become_ready()

    def _note_what_broke(self) -> None:
        if SERVER in self._broken:
            return
        if (code := self.server.exit_code()) is not None:
            self._note(SERVER, f"it ended by itself with code {code}")
            return
        for stage in self._dead_stages():
            self._note(stage, "its process ended")
        if found := self._watcher.take():
            self._note(*found)
        if door := self._door_with_clients():  # who would wait for ever: only the server's end breaks connections
            self._note(SERVER, f"the door {door} must be replaced, and those with turns in it must learn of its end")
        elif not self._broken and self._is_worn() and self._running_turns() == (0, 0):
            self._ready = False
            self._finish_turns(time.monotonic() + self.server.drain_timeout_s)  # of who comes in this moment
            self._note(SERVER, f"it has had {self._reloads_of_this_server} stages loaded again")

    def _door_with_clients(self) -> str | None:
        """A broken one. The front door of streamed turns counts as never without."""
        if FRONT_DOOR in self._broken:
            return FRONT_DOOR
        return next((door for door in UNARY_DOORS if door in self._broken and self.server.guests_of(door)), None)

    def _is_worn(self) -> bool:
        return self._reloads_of_this_server >= self._settings.reloads_per_server

    def _dead_stages(self) -> list[str]:
        known = self._alive
        return [stage for stage in self._stages if stage not in known or self._processes.ended({stage: known[stage]})]

    def _numbers(self) -> dict[str, int]:
        """Process numbers by name, the server's included."""
        server = self._server_process()
        return self._alive | ({} if server is None else {SERVER: server})

    def _server_process(self) -> int | None:
        process = self.server.process
        return process.pid if process is not None and self.server.exit_code() is None else None

    def _running_turns(self) -> tuple[int, int] | None:
        """Streamed ones and unary ones, and those that wait. None where the server does not say."""
        try:
            running, waiting = MetricsPage(self.server.metrics_url).turns
        except OSError:
            return None
        return running + sum(map(self.server.guests_of, UNARY_DOORS)), waiting

    def _note(self, what: str, cause: str) -> None:
        """And end what is left of it at once: by that its clients or callers learn of it. Its mend may have to wait."""
        if what in self._broken:
            return
        log.error("%s: %s", what, cause)
        self._broken[what] = (cause, time.monotonic())
        if what == SERVER:
            self.server.stop(0)
        else:
            self._kill(what)

    def _mend(self, names: list[str], mend: Callable[[list[str]], None]) -> None:
        """One attempt at those whose time has come. Raises LaunchError for one that was tried often enough."""
        due = [name for name in names if self._is_due(name)]
        if not due:
            return
        try:
            mend(due)
            failure = None
        except (ConnectionError, LaunchError) as error:
            failure = str(error)
        for name in due:
            count = self._tries[name].note(time.monotonic())
            if failure is not None:
                self._broken[name] = failure, self._broken[name][1]
                log.error("%s: mending it failed (%d of %d): %s", name, count, self._settings.tries, failure)
        if failure is None:
            for name in [*self._broken] if SERVER in due else due:
                self._note_mended(name)

    def _is_due(self, name: str) -> bool:
        tries = self._tries.setdefault(name, Tries(self._settings.tries))
        wait_s = tries.wait_s(time.monotonic())
        if wait_s is None:
            cause = self._broken[name][0]
            raise LaunchError(f"gave {name} up after {self._settings.tries} tries in a row: {cause}")
        return wait_s == 0

    def _note_mended(self, name: str) -> None:
        cause, noticed_s = self._broken.pop(name)
        now_s = time.monotonic()
        self._mended[name] += 1
        self._recoveries.append(Recovery(name, cause, noticed_s, now_s))
        log.warning("%s: answers again after %.1f s", name, now_s - noticed_s)

    def _reload(self, stages: list[str]) -> None:
        for stage in stages:
            self._reloads[stage] += 1
            self._reloads_of_this_server += 1
            self._kill(stage)
            self.server.reload(stage)
            self._alive |= self._processes.of([stage])
        self._prove(stages)

    def _kill(self, stage: str) -> None:
        """One that hangs keeps those who called it waiting."""
        process = self._alive.get(stage)
        if process is not None and not self._processes.ended({stage: process}):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _prove(self, stages: list[str]) -> None:
        """By an inference; right after a reload, the front door may not have met the new process yet. Raises
        ConnectionError."""
        deadline_s = time.monotonic() + self._settings.probe_timeout_s
        while True:
            try:
                self._ask(stages)
                return
            except ConnectionError as error:
                if self._is_proof(str(error), stages):
                    return
                hopeless = self.server.exit_code() is not None or FRONT_DOOR in self._dead_stages()
                if hopeless or time.monotonic() > deadline_s:
                    raise
            time.sleep(_LOOK_S)

    def _ask(self, stages: list[str]) -> None:
        """Raises ConnectionError."""
        timeout_s = self._settings.probe_timeout_s
        for step in UNARY_DOORS:  # which the turn below does not pass
            if step in stages and not self.server.step_answers(step, timeout_s):
                raise ConnectionError(f"{step} answers nothing")
        self.server.probe(timeout_s)

    def _is_proof(self, message: str, stages: list[str]) -> bool:
        """As good as it gets: a full server, as those show whom it serves, or another stage that waits to be mended."""
        blamed = blamed_stage(message)
        others = {*self._broken, *self._dead_stages()} - set(stages)  # one may have died since the last look
        return message.startswith("OVERLOADED") or (bool(others) and blamed is not None and blamed not in stages)

    def _start_server(self, _: Sequence[str] = ()) -> None:
        self._starts += 1
        self._reloads_of_this_server = 0
        self.server.start()

    def _become_ready(self) -> None:
        process = self._server_process()
        self._processes = StageProcesses(process or 0)
        self._alive = self._processes.of(self._stages)
        self._ready = True
        self._watcher.resume()
