"""Which stage does not answer, though its process lives: found by inference, and by what each stage has got done."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from stream_omni.serving.errors import DeadlineError, blamed_stage
from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import FRONT_DOOR, TRITON, UNARY_DOORS
from stream_omni.serving.metrics_page import MetricsPage
from stream_omni.serving.probe import NOT_IN_TIME, is_refusal
from stream_omni.serving.stage_processes import processor_s

log = logging.getLogger(__name__)

SERVER = TRITON
# In the order in which a turn needs them: of a turn that is stuck, the first one without progress holds it up.
PIPELINE = ("speech_tokenizer", "vision_encoder", "speech_bottom", "llm", "speech_top", "cosyvoice_flow", "vocoder")
_COMPUTES_S, _COMPUTES_SHARE = 0.05, 0.005  # of one look, at least; signs of life take a tenth of that
_PATIENCE = 10  # looks in which it may compute and not answer; then it goes round in circles
_FULL_OR_STOPPING = ("OVERLOADED", "DRAINING")
_LATE = (NOT_IN_TIME, DeadlineError.reason)


class StageWatch:
    """Of ``server``; what takes longer than ``timeout_s`` counts as no answer: more than a turn may wait for a place,
    and than a stage's longest piece of work. ``processes`` gives the process numbers by name.

    A stage that finished work since the last look is alive; only when one did not, a turn is asked for, which passes
    through all of them: users of a busy server pay nothing for being watched. A process that computes is slow, not
    dead, up to a limit: whoever kills what is slow makes a crowded machine more crowded.
    """

    def __init__(self, server: TritonServer, processes: Callable[[], Mapping[str, int]], timeout_s: float) -> None:
        self._server, self._processes, self._timeout_s = server, processes, timeout_s
        self._work: Mapping[str, float] = {}
        self._patience: Counter[str] = Counter()
        self._was_refused = False  # by the front door itself, when a turn was asked for last

    def find_silent(self) -> tuple[str, str] | None:
        """The stage (or FRONT_DOOR, or SERVER) that does not answer, and how that showed; None: all do, or nothing is
        known, as of a server without a free place."""
        processes = dict(self._processes())
        computed_s = {name: processor_s(number) for name, number in processes.items()}
        began_s = time.monotonic()
        found = self._suspect() or self._suspect_step(processes)
        if found is None:
            self._patience.clear()
            return None
        name, enough_s = found[0], max(_COMPUTES_S, _COMPUTES_SHARE * (time.monotonic() - began_s))
        if processor_s(processes.get(name, 0)) - computed_s.get(name, 0.0) > enough_s:
            self._patience[name] += 1
            if self._patience[name] < _PATIENCE:
                log.warning("%s: slow, but it computes (%d of %d): %s", name, self._patience[name], _PATIENCE, found[1])
                return None
        return found

    def _suspect(self) -> tuple[str, str] | None:
        try:
            work = MetricsPage(self._server.metrics_url).work_done()
        except OSError as error:
            return self._blame_server(error)
        former, self._work = self._work, work
        are_alive = all(work[stage] > former.get(stage, work[stage]) for stage in PIPELINE)
        if self._was_refused or not are_alive:  # what the refused turn moved says nothing of the front door
            try:
                self._server.probe(self._timeout_s)
            except ConnectionError as error:
                return self._diagnose(str(error), work)
        self._was_refused = False
        return None

    def _suspect_step(self, processes: Mapping[str, int]) -> tuple[str, str] | None:
        """Of the unary turn, which no streamed one passes."""
        for step in UNARY_DOORS:
            if step in processes and not self._server.step_answers(step, self._timeout_s):
                return step, "it answers nothing"
        return None

    def _diagnose(self, message: str, before: Mapping[str, float]) -> tuple[str, str] | None:
        blamed, is_late = blamed_stage(message), message.startswith(_LATE)
        if message.startswith(_FULL_OR_STOPPING):
            return None
        if not self._server.says_anything(self._timeout_s):
            return FRONT_DOOR, f"it answers nothing: {message}"
        if blamed in PIPELINE:
            return blamed, message
        if is_refusal(message) and blamed in (None, FRONT_DOOR) and not is_late:
            return self._blame_front_door(message)
        try:
            work = MetricsPage(self._server.metrics_url).work_done()
        except OSError as error:
            return self._blame_server(error)
        idle = [stage for stage in PIPELINE if work[stage] <= before[stage]]
        if is_late and not idle:
            return None  # all of them work, and are slow
        return idle[0] if idle else FRONT_DOOR, message

    def _blame_front_door(self, message: str) -> tuple[str, str] | None:
        """Which says no to a turn that nothing is wrong with, and names no stage. Only of two in a row: with the front
        door all turns of the server end, and a single one may have met what is over, such as full shared memory."""
        if self._was_refused:
            return FRONT_DOOR, f"it refuses a turn that nothing is wrong with: {message}"
        self._was_refused = True
        log.warning("%s: a turn that nothing is wrong with was refused, once: %s", FRONT_DOOR, message)
        return None

    def _blame_server(self, error: OSError) -> tuple[str, str] | None:
        if self._server.says_anything(self._timeout_s):
            return None
        return SERVER, f"neither metrics nor turns are answered: {error}"


class Watcher:
    """Looks every ``interval_s`` on a thread of its own, while it is not told to pause."""

    def __init__(self, watch: StageWatch, interval_s: float) -> None:
        self._watch, self._interval_s = watch, interval_s
        self._lock = threading.Lock()
        self._epoch = 0  # a look that was under way during a recovery says nothing about what is there now
        self._paused = True
        self._found: tuple[str, str] | None = None
        threading.Thread(target=self._run, daemon=True, name="stage-watch").start()

    def pause(self) -> None:
        with self._lock:
            self._paused, self._found, self._epoch = True, None, self._epoch + 1

    def resume(self) -> None:
        with self._lock:
            self._paused = False

    def take(self) -> tuple[str, str] | None:
        """What was found since the last call."""
        with self._lock:
            found, self._found = self._found, None
            return found

    def _run(self) -> None:
        while True:
            time.sleep(self._interval_s)
            with self._lock:
                if self._paused:
                    continue
                epoch = self._epoch
            try:
                found = self._watch.find_silent()
            except Exception:
                log.exception("looking at the stages failed")
                continue
            with self._lock:
                if epoch == self._epoch:
                    self._found = found
