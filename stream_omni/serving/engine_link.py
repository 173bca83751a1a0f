"""The front door's link to one engine model: control calls out, one long POLL that brings all turns' events in."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_omni.runtime.events import Batch, Event
from stream_omni.runtime.session import Array
from stream_omni.serving.errors import DeadlineError, InvalidRequestError, OverloadedError, StageError, TurnError
from stream_omni.serving.operations import EVENT_OUTPUTS, Operation
from stream_omni.serving.spans import part
from stream_omni.serving.stage_calls import StageCalls

_CONTROL_TIMEOUT_S = 2.0  # an engine only notes what it is told; longer means that its process is gone
_SILENCE_S = 2.0  # eight heartbeats
_RETRY_S = 0.3  # between polls of an engine that is gone: it may be loaded again


@dataclass
class _Mailbox:
    owner: int
    events: asyncio.Queue[Event | TurnError] = field(default_factory=asyncio.Queue)
    control: set[asyncio.Future[Any]] = field(default_factory=set)  # START and APPEND calls in flight
    live: bool = True  # the engine may hold a slot


class EngineLink:
    """Lives on the loop. A poll is out only while there are live turns: an idle one at shutdown crashed the server."""

    def __init__(self, model: str, calls: StageCalls) -> None:
        self._model, self._calls = model, calls
        self._turns: dict[int, _Mailbox] = {}
        self._owner = _new_owner()
        self._polling: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self, turn: int, inputs: Mapping[str, Array]) -> None:
        """Raises OverloadedError when the engine has no free slot."""
        mailbox = self._turns[turn] = _Mailbox(self._owner)
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll(), context=contextvars.Context())  # for all turns
        try:
            with part(f"{self._model} START", "client"):
                await self._control(Operation.START, turn, inputs)
        except (InvalidRequestError, OverloadedError):
            mailbox.live = False
            raise

    async def append(self, turn: int, ids: list[int], final: bool) -> None:
        if self._turns[turn].live:
            await self._control(Operation.APPEND, turn, {"ids": np.array(ids, np.int64), "final": np.array([final])})

    async def events(self, turn: int, timeout_s: float) -> AsyncIterator[Event]:
        """Until the engine finished the turn. Raises DeadlineError, StageError."""
        mailbox = self._turns[turn]
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    event = await mailbox.events.get()
            except TimeoutError:
                raise DeadlineError(f"{self._model} made nothing for {timeout_s:g} s; send the turn again") from None
            if isinstance(event, TurnError):
                raise event
            yield event
            if event.finish:
                return

    async def release(self, turn: int) -> None:
        """Free what the engine holds for the turn. Never raises: an engine drops what nobody polls for."""
        mailbox = self._turns.get(turn)
        if mailbox is None:
            return
        if mailbox.control:  # CANCEL must not overtake START
            await asyncio.wait(mailbox.control, timeout=_CONTROL_TIMEOUT_S)
        if mailbox.live:
            with part(f"{self._model} CANCEL", "client"):
                await asyncio.gather(self._control(Operation.CANCEL, turn, {}), return_exceptions=True)
        del self._turns[turn]

    def stop(self) -> None:
        """No further poll is sent."""
        self._stopped = True

    async def _control(self, operation: Operation, turn: int, inputs: Mapping[str, Array]) -> None:
        mailbox = self._turns[turn]
        named = {**_addressed(operation, mailbox.owner), "turn": np.array([turn], np.uint64), **inputs}
        pending = None if operation is Operation.CANCEL else mailbox.control
        await self._calls.call(self._model, named, ("turns",), _CONTROL_TIMEOUT_S, pending)

    async def _poll(self) -> None:
        while not self._stopped and any(mailbox.live for mailbox in self._turns.values()):
            try:
                found = await self._calls.call(
                    self._model, _addressed(Operation.POLL, self._owner), EVENT_OUTPUTS, _SILENCE_S
                )
            except TurnError as error:
                self._lose(error)
                await asyncio.sleep(_RETRY_S)
            else:
                self._deliver(found)
        self._polling = None

    def _deliver(self, found: Mapping[str, Array]) -> None:
        messages = tuple(message.decode() for message in found["messages"])
        numbers = {name: found[name] for name in EVENT_OUTPUTS if name != "messages"}
        for event in Batch(**numbers, messages=messages).events():
            mailbox = self._turns.get(event.turn)
            if mailbox is not None:
                mailbox.live = event.finish is None
                failed = StageError(self._model, event.message) if event.finish == "error" else None
                mailbox.events.put_nowait(failed or event)

    def _lose(self, error: TurnError) -> None:
        """Later turns get another owner: an abandoned poll may yet be answered, and must not take their events."""
        for mailbox in self._turns.values():
            if mailbox.live:
                mailbox.events.put_nowait(error)
        self._owner = _new_owner()


def _new_owner() -> int:
    return secrets.randbits(63)


def _addressed(operation: Operation, owner: int) -> dict[str, Array]:
    return {"op": np.array([operation], np.int32), "owner": np.array([owner], np.uint64)}
