"""The front door: takes turns in, drives them on an event loop of its own, and ends every one of them exactly once.

``execute`` must return at once, sending must not happen on the loop, and asking whether a client is gone must not meet
its last answer: each rule stands for a server that froze or crashed.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import secrets
import threading
import time
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

from stream_omni.runtime.session import Array
from stream_omni.serving.admission import Admission
from stream_omni.serving.api_keys import Holder
from stream_omni.serving.bls import infer
from stream_omni.serving.caller import Caller, LastWord, Senders
from stream_omni.serving.departures import LEAVE, TICKET, Departures, as_ticket
from stream_omni.serving.doorkeeper import SERVER, Doorkeeper
from stream_omni.serving.drain_notice import DrainNotice
from stream_omni.serving.driver import Driver
from stream_omni.serving.edge import header_of, parameters_of
from stream_omni.serving.errors import (
    DeadlineError,
    DrainingError,
    InvalidRequestError,
    OverloadedError,
    StageError,
    TurnError,
    UnauthenticatedError,
    first_cause,
)
from stream_omni.serving.event_log import content_is_wanted, log_event, trace_of
from stream_omni.serving.guest_book import GuestBook
from stream_omni.serving.metrics import CANCEL_RELEASE_SECONDS, DRAIN_RATIO, FRONT_DOOR, Recorder
from stream_omni.serving.quotas import Quotas
from stream_omni.serving.request_id import CURRENT
from stream_omni.serving.spans import HEADER, know, own_tracer, part, reason_of
from stream_omni.serving.stage_calls import StageCalls
from stream_omni.serving.stage_processes import StageProcesses
from stream_omni.serving.stage_secret import StageSecret
from stream_omni.serving.stages import Stages
from stream_omni.serving.turn_meter import TurnMeter

_CANCEL_POLL_S = 0.05  # far below what a listener notices, and twenty looks a second cost nothing
_SUCCESSOR_MS = 2000  # after which another server may be there
_CUT = "the server stops and could wait no longer; send the turn to another one, or again later"
_REFUSED = (InvalidRequestError.outcome, UnauthenticatedError.outcome)
_SHUTDOWN_S = 0.6  # two heartbeats: polls in flight must have ended when the process does


@dataclass
class _Guest:
    caller: Caller
    meter: TurnMeter
    holder: Holder | None = None  # whose key it came with
    traceparent: Any = None  # as it was sent
    refusal: TurnError | None = None  # before anything else was done for it
    task: asyncio.Task[None] | None = None  # once it runs: one that is cancelled before would skip its `finally`
    entered_s: float | None = None  # when it got its place
    gone_s: float | None = None  # when it was noticed that the client has left
    cut: bool = False  # its time is over, because the server stops
    ticket: str | None = None  # with which it may be left by a message


class FrontDoor:
    """``capacity`` turns run at once, each for at most ``turn_timeout_s``; ``waiting`` more wait for a place, each for
    at most ``wait_s``; others are refused with a retry hint, and requests of more than ``max_request_bytes`` for good.
    When the server is about to stop, no turn is let in, unless it was let in before at the door of an earlier step
    (``is_later_step``), and those that run end at the deadline. ``name`` stands in the log, and ``book`` counts who is
    owed an answer. Closing it closes the ``recorder``."""

    def __init__(
        self,
        driver: Driver,
        recorder: Recorder,
        capacity: int,
        turn_timeout_s: float,
        waiting: int = 0,
        wait_s: float = 0.0,
        *,
        name: str = FRONT_DOOR,
        max_request_bytes: float = math.inf,
        is_later_step: bool = False,
        book: GuestBook | None = None,
    ) -> None:
        self._driver, self._recorder, self._turn_timeout_s = driver, recorder, turn_timeout_s
        self._max_request_bytes = max_request_bytes
        self._doorkeeper, self._quotas = Doorkeeper.own(), Quotas(wait_s, recorder)
        self._admission = Admission(capacity, waiting, wait_s, recorder)
        self._guests: dict[int, _Guest] = {}
        self._departures = Departures()
        self._book = book or GuestBook(None, name)
        self._numbers = itertools.count(secrets.randbits(62))  # no number of a former front door comes again
        self._senders, self._tracer = Senders(), own_tracer()
        self._name, self._log_content = name, content_is_wanted()
        self._span_name = "stream_omni.turn" if name == FRONT_DOOR else f"stream_omni.{name}"
        self._loop = asyncio.new_event_loop()
        self._stages = Stages(StageCalls(self._loop, partial(infer, StageSecret.own()), StageProcesses(os.getppid())))
        self._closing = False
        self._notice, self._is_later_step = DrainNotice.of_environment(), is_later_step
        self._drain_began_s = 0.0
        self._drained_by_s: float | None = None
        for target in (self._loop.run_forever, self._notice_cancellations):
            threading.Thread(target=target, daemon=True, name="front-door").start()

    def accept(self, request: Any) -> None:
        """Register a turn, or that its client has left one, and return. Of a stranger's no tensor is looked at."""
        parameters = parameters_of(request)
        left = as_ticket(header_of(parameters, LEAVE))
        if left and self._name == FRONT_DOOR:  # at a unary door somebody waits for an answer
            self._departures.note(left)
            self._senders.submit(0, LastWord(request).say)
            return
        caller = Caller(request)
        turn, guest = next(self._numbers), _Guest(caller, TurnMeter(self._recorder, caller.began_s, self._tracer))
        guest.ticket = as_ticket(header_of(parameters, TICKET))
        try:
            guest.holder = self._doorkeeper.let_in(parameters)
            guest.traceparent = header_of(parameters, HEADER)
            caller.read(request, self._max_request_bytes)
        except Exception as error:
            guest.refusal = _failure_of(error, caller.request_id)
        self._guests[turn] = guest
        self._book.enter()
        self._loop.call_soon_threadsafe(self._loop.create_task, self._run(turn, guest))

    def close(self) -> None:
        """Refuse new turns, and let no poll outlive this process."""
        self._closing = True
        self._loop.call_soon_threadsafe(self._quotas.close, _SUCCESSOR_MS)
        self._loop.call_soon_threadsafe(self._admission.close, _SUCCESSOR_MS)
        self._loop.call_soon_threadsafe(self._stages.stop)
        time.sleep(_SHUTDOWN_S)
        self._senders.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._recorder.close()
        self._tracer.close()

    async def _run(self, turn: int, guest: _Guest) -> None:
        CURRENT.set(guest.caller.request_id)  # in this task, and in what it starts
        if guest.holder not in (None, SERVER) and not self._is_later_step:  # which goes on with the first one's trace
            guest.meter.trace(self._span_name, guest.traceparent)
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
            failure = _failure_of(first_cause(error), guest.caller.request_id)
            outcome = failure.outcome
        finally:
            # the one way out; a cancellation that comes now must not interrupt it
            leaving = self._loop.create_task(self._release(turn, guest, failure, outcome))
            await asyncio.shield(leaving)

    async def _attend(self, turn: int, guest: _Guest) -> None:
        if guest.gone_s is not None:
            raise asyncio.CancelledError
        if guest.refusal is not None:
            raise guest.refusal
        guest.task = asyncio.current_task()
        assert guest.holder is not None
        with part("admission"):
            await self._quotas.enter(turn, guest.holder)
            await self._admission.enter(turn)
        guest.entered_s = time.monotonic()
        guest.meter.reach("admission")
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
        guest.caller.request_id = CURRENT.get() or guest.caller.request_id  # a later step goes on with the first one's
        self._senders.submit(turn, partial(guest.caller.fail, failure))  # the client first; nothing after `done`
        self._senders.submit(turn, self._book.leave)
        await self._stages.release(turn)
        if outcome == "cancelled" and guest.gone_s is not None:
            self._recorder.observe(CANCEL_RELEASE_SECONDS, time.monotonic() - guest.gone_s)
        self._admission.leave(turn)
        self._quotas.leave(turn)
        know(request_id=guest.caller.request_id)
        guest.meter.end(outcome, reason_of(failure) if failure else None)
        if not (guest.holder == SERVER and outcome in _REFUSED):  # a look of the supervisor's is no turn
            log = partial(self._log, turn, guest, failure, outcome)
            self._senders.submit(turn, partial(copy_context().run, log))  # with the id of the trace
        del self._guests[turn]

    def _log(self, turn: int, guest: _Guest, failure: TurnError | None, outcome: str) -> None:
        """The one line of a turn. Not on the loop: who reads the log may be slow."""
        came_s, now_s = guest.caller.began_s, time.monotonic()
        log_event(
            "turn",
            request_id=guest.caller.request_id,
            turn=turn,  # as the engines call it
            door=self._name,
            key=guest.holder.name if guest.holder else None,
            outcome=outcome,
            reason=reason_of(failure) if failure else None,
            waited_ms=round(((guest.entered_s or now_s) - came_s) * 1000, 1),
            total_ms=round((now_s - came_s) * 1000, 1),
            input_bytes=guest.caller.input_bytes,
            **guest.meter.report(self._log_content),
        )

    def _send(self, turn: int, guest: _Guest, outputs: Mapping[str, Array], last: bool) -> None:
        self._senders.submit(turn, partial(guest.caller.send, outputs, last))

    def _notice_cancellations(self) -> None:
        """A client's message, cancel, disconnect and deadline all show here, and nowhere else."""
        while not self._closing:
            time.sleep(_CANCEL_POLL_S)
            self._notice_drain()
            for guest in list(self._guests.values()):
                if guest.gone_s is None and (guest.ticket in self._departures or guest.caller.is_gone()):
                    guest.gone_s = time.monotonic()
                    self._loop.call_soon_threadsafe(_cancel, guest)

    def _notice_drain(self) -> None:
        now_s = time.monotonic()
        if self._drained_by_s is None:
            self._drain_began_s, self._drained_by_s = now_s, self._notice.deadline_s()
            if self._drained_by_s is not None and not self._is_later_step:
                hint_ms = self._notice.retry_after_ms(self._drained_by_s)
                self._loop.call_soon_threadsafe(self._admission.close, hint_ms)
            return
        self._recorder.set(DRAIN_RATIO, _ratio(now_s - self._drain_began_s, self._drained_by_s - self._drain_began_s))
        if now_s > self._drained_by_s:
            for guest in list(self._guests.values()):
                self._loop.call_soon_threadsafe(_cut, guest)


def _ratio(over_s: float, whole_s: float) -> float:
    return min(1.0, over_s / whole_s) if whole_s > 0 else 1.0


def _cut(guest: _Guest) -> None:
    if guest.task is not None and not guest.cut:
        guest.cut = True
        guest.task.cancel()


def _cancel(guest: _Guest) -> None:
    if guest.task is not None:
        guest.task.cancel()


def _failure_of(error: BaseException, request_id: str) -> TurnError:
    """What the client reads: of an unforeseen error only that it happened."""
    if isinstance(error, TurnError):
        if isinstance(error, StageError):
            log_event("stage_failed", "error", request_id=request_id, stage=error.stage, cause=error.cause)
        return error
    log_event("turn_failed", "error", request_id=request_id, traceback=trace_of(error))
    return TurnError("the turn failed inside the server, whose log says why; send it again")
