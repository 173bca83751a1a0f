"""The front door: takes turns in, drives them on an event loop of its own, and ends every one of them exactly once.

``execute`` must return at once, sending must not happen on the loop, and asking whether a client is gone must not meet
its last answer: each rule stands for a server that froze or crashed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import triton_python_backend_utils as pb

from stream_omni.runtime.session import Array
from stream_omni.serving.admission import Admission
from stream_omni.serving.bls import infer
from stream_omni.serving.caller import Caller, Senders
from stream_omni.serving.drain_notice import DrainNotice
from stream_omni.serving.driver import Driver
from stream_omni.serving.errors import (
    DeadlineError,
    DrainingError,
    OverloadedError,
    StageError,
    TurnError,
    first_cause,
)
from stream_omni.serving.metrics import CANCEL_RELEASE_SECONDS, Recorder
from stream_omni.serving.stage_calls import StageCalls
from stream_omni.serving.stage_processes import StageProcesses
from stream_omni.serving.stages import Stages
from stream_omni.serving.turn_meter import TurnMeter

_CANCEL_POLL_S = 0.05  # far below what a listener notices, and twenty looks a second cost nothing
_SUCCESSOR_MS = 2000  # after which another server may be there
_CUT = "the server stops and could wait no longer; send the turn to another one, or again later"
_SHUTDOWN_S = 0.6  # two heartbeats: polls in flight must have ended when the process does


@dataclass
class _Guest:
    caller: Caller
    meter: TurnMeter
    task: asyncio.Task[None] | None = None  # once it runs: one that is cancelled before would skip its `finally`
    gone_s: float | None = None  # when it was noticed that the client has left
    cut: bool = False  # its time is over, because the server stops


class FrontDoor:
    """``capacity`` turns run at once, each for at most ``turn_timeout_s``; ``waiting`` more wait for a place, each for
    at most ``wait_s``; others are refused with a retry hint. When the server is about to stop, no turn is let in,
    unless it was let in before at the door of an earlier step (``is_later_step``), and those that run end at the
    deadline. Closing it closes the ``recorder``."""

    def __init__(
        self,
        driver: Driver,
        recorder: Recorder,
        capacity: int,
        turn_timeout_s: float,
        waiting: int = 0,
        wait_s: float = 0.0,
        is_later_step: bool = False,
    ) -> None:
        self._driver, self._recorder, self._turn_timeout_s = driver, recorder, turn_timeout_s
        self._admission = Admission(capacity, waiting, wait_s, recorder)
        self._guests: dict[int, _Guest] = {}
        self._numbers = itertools.count(secrets.randbits(62))  # no number of a former front door comes again
        self._senders = Senders()
        self._loop = asyncio.new_event_loop()
        self._stages = Stages(StageCalls(self._loop, infer, StageProcesses(os.getppid())))
        self._closing = False
        self._notice, self._is_later_step = DrainNotice.of_environment(), is_later_step
        self._drained_by_s: float | None = None
        for target in (self._loop.run_forever, self._notice_cancellations):
            threading.Thread(target=target, daemon=True, name="front-door").start()

    def accept(self, request: Any) -> None:
        """Register a turn and return."""
        caller = Caller(request)
        turn, guest = next(self._numbers), _Guest(caller, TurnMeter(self._recorder, caller.began_s))
        self._guests[turn] = guest
        self._loop.call_soon_threadsafe(self._loop.create_task, self._run(turn, guest))

    def close(self) -> None:
        """Refuse new turns, and let no poll outlive this process."""
        self._closing = True
        self._loop.call_soon_threadsafe(self._admission.close, _SUCCESSOR_MS)
        self._loop.call_soon_threadsafe(self._stages.stop)
        time.sleep(_SHUTDOWN_S)
        self._senders.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._recorder.close()

    async def _run(self, turn: int, guest: _Guest) -> None:
        failure: TurnError | None = None
        outcome = "error"
        try:
            await self._attend(turn, guest)
            outcome = "ok"
        except asyncio.CancelledError:
            outcome = "cancelled"
            if guest.cut:
                outcome, failure = "deadline", DrainingError(_CUT, _SUCCESSOR_MS)
        except BaseException as error:
            failure = _failure_of(first_cause(error))
            outcome = failure.outcome
        finally:
            # the one way out; a cancellation that comes now must not interrupt it
            leaving = self._loop.create_task(self._release(turn, guest, failure, outcome))
            await asyncio.shield(leaving)

    async def _attend(self, turn: int, guest: _Guest) -> None:
        if guest.gone_s is not None:
            raise asyncio.CancelledError
        guest.task = asyncio.current_task()
        await self._admission.enter(turn)
        try:
            async with asyncio.timeout(self._turn_timeout_s):
                caller, send = guest.caller, partial(self._send, turn, guest)
                await self._driver.drive(self._stages, turn, caller.inputs, caller.began_s, send, guest.meter)
        except TimeoutError:
            took = f"the turn took more than {self._turn_timeout_s:g} s"
            raise DeadlineError(f"{took}; ask for a shorter answer") from None
        except BaseExceptionGroup as errors:
            if isinstance(first_cause(errors), OverloadedError):  # turns of another front door have its slots
                raise self._admission.refusal("engine_full", "a stage has no free slot") from None
            raise

    async def _release(self, turn: int, guest: _Guest, failure: TurnError | None, outcome: str) -> None:
        self._senders.submit(turn, partial(guest.caller.fail, failure))  # the client first; nothing after `done`
        await self._stages.release(turn)
        if outcome == "cancelled" and guest.gone_s is not None:
            self._recorder.observe(CANCEL_RELEASE_SECONDS, time.monotonic() - guest.gone_s)
        self._admission.leave(turn)
        guest.meter.end(outcome)
        del self._guests[turn]

    def _send(self, turn: int, guest: _Guest, outputs: Mapping[str, Array], last: bool) -> None:
        self._senders.submit(turn, partial(guest.caller.send, outputs, last))

    def _notice_cancellations(self) -> None:
        """A client's cancel, disconnect and deadline all show here, and nowhere else."""
        while not self._closing:
            time.sleep(_CANCEL_POLL_S)
            self._notice_drain()
            for guest in list(self._guests.values()):
                if guest.gone_s is None and guest.caller.is_gone():
                    guest.gone_s = time.monotonic()
                    self._loop.call_soon_threadsafe(_cancel, guest)

    def _notice_drain(self) -> None:
        if self._drained_by_s is None:
            self._drained_by_s = self._notice.deadline_s()
            if self._drained_by_s is not None and not self._is_later_step:
                hint_ms = self._notice.retry_after_ms(self._drained_by_s)
                self._loop.call_soon_threadsafe(self._admission.close, hint_ms)
        elif time.monotonic() > self._drained_by_s:
            for guest in list(self._guests.values()):
                self._loop.call_soon_threadsafe(_cut, guest)


def _cut(guest: _Guest) -> None:
    if guest.task is not None and not guest.cut:
        guest.cut = True
        guest.task.cancel()


def _cancel(guest: _Guest) -> None:
    if guest.task is not None:
        guest.task.cancel()


def _failure_of(error: BaseException) -> TurnError:
    """What the client reads: of an unforeseen error only that it happened."""
    if isinstance(error, TurnError):
        if isinstance(error, StageError):
            pb.Logger.log_error(f"{error.stage}: {error.cause}")
        return error
    pb.Logger.log_error("".join(traceback.format_exception(error)))
    return TurnError("the turn failed inside the server, whose log says why; send it again")
