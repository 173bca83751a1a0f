"""An engine on a thread of its own: turns of several owners go in, their events wait in mailboxes until polled.

Long polls instead of a stream per turn, and a lease instead of trust: an owner that stops polling has died or lost its
way, and its turns must not keep their slots.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from stream_omni.runtime.events import Batch, Event, Mailbox
from stream_omni.runtime.slots import Full
from stream_omni.runtime.watch import Unwatched, Watch

log = logging.getLogger(__name__)

Request = TypeVar("Request", contravariant=True)


class Engine(Protocol[Request]):
    """What runs turns step by step, called by one thread (``check`` by any). A cancelled turn says nothing more."""

    @property
    def capacity(self) -> int: ...

    @property
    def active(self) -> int: ...

    @property
    def nonfinite(self) -> int: ...

    @property
    def has_work(self) -> bool: ...

    def check(self, request: Request) -> None: ...

    def start(self, turn: int, request: Request) -> None: ...

    def cancel(self, turn: int) -> None: ...

    def step(self) -> list[Event]: ...


class Closed(Exception):  # noqa: N818 - a state, not a mistake
    """The engine has stopped, by :meth:`EngineLoop.close` or because its thread failed."""


class FedEngine(Engine[Any], Protocol):
    """An engine whose turns are given more while they run."""

    def append(self, turn: int, ids: Sequence[int], final: bool) -> None: ...


E = TypeVar("E", bound=Engine[Any], covariant=True)
R = TypeVar("R")


@dataclass
class _Owner:
    seen_s: float
    polls: int = 0
    box: Mailbox = field(default_factory=Mailbox)
    keys: dict[int, int] = field(default_factory=dict)  # turn -> the engine's number for it


class EngineLoop(Generic[E]):
    """Runs an engine's steps while it has work, and sleeps otherwise.

    Every method may be called from any thread and none waits for a step: what changes the engine is put in a queue and
    done between two steps. Turns are numbered by their owners; two owners may use the same numbers.
    """

    def __init__(self, engine: E, lease_s: float = 2.0, watch: Watch | None = None) -> None:
        self._engine, self._lease_s, self._watch = engine, lease_s, watch or Unwatched()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # for the engine's thread
        self._news = threading.Condition(self._lock)  # for polls
        self._freed = threading.Condition(self._lock)  # for cancels
        self._actions: deque[tuple[int, Callable[[], None]]] = deque()
        self._owners: dict[int, _Owner] = {}
        # the engine's number -> owner and turn, from the start until the slot is free
        self._seats: dict[int, tuple[int, int]] = {}
        self._started_s: dict[int, float] = {}  # by the engine's number, until its first id
        self._told = (0, 0)  # to the watch: turns and slots
        self._last_key = 0
        self._looked_s = time.monotonic()  # after its owners
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=type(engine).__name__, daemon=True)
        self._thread.start()

    @property
    def capacity(self) -> int:
        return self._engine.capacity

    @property
    def active(self) -> int:
        """Turns that hold a slot, or will when the current step is over."""
        with self._lock:
            return len(self._seats)

    def start(self: EngineLoop[Engine[R]], owner: int, turn: int, request: R) -> None:
        """Take a turn in. Raises Full at once without a free slot, RequestError for a request that can never run,
        ValueError for a number that is in use, Closed after the end."""
        self._engine.check(request)
        with self._lock:
            if self._closed:
                raise Closed
            if len(self._seats) >= self._engine.capacity:
                raise Full(self._engine.capacity)
            holder = self._owners.setdefault(owner, _Owner(time.monotonic()))
            if turn in holder.keys:
                raise ValueError(f"turn {turn} is already running")
            if not holder.keys:
                holder.seen_s = time.monotonic()  # who had no turns had no reason to poll
            self._last_key += 1
            key = holder.keys[turn] = self._last_key
            self._seats[key] = (owner, turn)
            self._started_s[key] = time.monotonic()
            self._enqueue(key, partial(self._engine.start, key, request))

    def append(self: EngineLoop[FedEngine], owner: int, turn: int, ids: Sequence[int], final: bool) -> None:
        """Give a turn more ids. A turn that is already over is ignored; ids that the engine refuses end the turn."""
        with self._lock:
            if key := self._key(owner, turn):
                self._enqueue(key, partial(self._engine.append, key, ids, final))

    def cancel(self, owner: int, turn: int, wait_s: float = 0.0) -> None:
        """End a turn: nothing more is heard of it, and its slot is free after the current step, which is waited for."""
        with self._lock:
            key = self._key(owner, turn)
            if key:
                del self._owners[owner].keys[turn]
                self._enqueue(key, partial(self._cancel, key))
            if owner in self._owners:
                self._owners[owner].box.discard(turn)
            self._freed.wait_for(lambda: self._closed or key not in self._seats, wait_s)

    def poll(self, owner: int, timeout_s: float = 0.25) -> Batch:
        """What the owner's turns have said since the last poll, as soon as there is something; empty after the timeout
        (a sign of life) or when the loop is closed meanwhile. Polling keeps the owner's turns alive. Raises Closed when
        there is nothing left to hear."""
        deadline_s = time.monotonic() + timeout_s
        with self._lock:
            holder = self._owners.setdefault(owner, _Owner(time.monotonic()))
            if self._closed and not holder.box:
                raise Closed
            holder.polls += 1
            while not holder.box and not self._closed and (left_s := deadline_s - time.monotonic()) > 0:
                self._news.wait(left_s)
            holder.polls -= 1
            holder.seen_s = time.monotonic()
            return holder.box.take()

    def close(self) -> None:
        """Drop all turns, end outstanding polls, and stop the thread. May be called again."""
        self._shut()
        self._thread.join()

    def _shut(self) -> None:
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._news.notify_all()
            self._freed.notify_all()

    def _key(self, owner: int, turn: int) -> int | None:
        return self._owners[owner].keys.get(turn) if owner in self._owners else None

    def _enqueue(self, key: int, action: Callable[[], None]) -> None:
        self._actions.append((key, action))
        self._work.notify()

    # --- the engine's thread

    def _run(self) -> None:
        try:
            while not self._closed:
                for key, action in self._next_actions():
                    self._perform(key, action)
                self._tell()
                self._post(self._step())
                self._tell()
            for key in list(self._seats):
                self._cancel(key)
            self._tell()
        except BaseException as error:  # whatever it is: nobody may wait for a thread that is gone
            log.exception("the thread of %s failed", type(self._engine).__name__)
            self._post([Event(key, finish="error", message=self._failure(error)) for key in list(self._seats)])
            self._tell()
            self._shut()

    def _next_actions(self) -> list[tuple[int, Callable[[], None]]]:
        """What was asked for since the last step; sleeps while there is nothing at all to do."""
        with self._lock:
            self._drop_stale_owners()
            while not (self._closed or self._actions or self._engine.has_work):
                self._work.wait(self._lease_s / 4 if self._owners else None)
                self._drop_stale_owners()
            actions = list(self._actions)
            self._actions.clear()
            return actions

    def _perform(self, key: int, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            log.exception("an action on turn %s failed", key)
            self._engine.cancel(key)
            self._post([Event(key, finish="error", message=str(error))])

    def _step(self) -> list[Event]:
        """A step. An exception that the engine did not contain is a fault of its own: all its turns end."""
        if not self._engine.has_work:
            return []
        began_s, lost = time.monotonic(), self._engine.nonfinite
        try:
            events = self._engine.step()
            self._watch.step(time.monotonic() - began_s, sum(1 for event in events if event.ids))
            self._watch.lose(self._engine.nonfinite - lost)
            return events
        except Exception as error:
            log.exception("%s failed", type(self._engine).__name__)
            keys = list(self._seats)
            for key in keys:
                self._engine.cancel(key)
            return [Event(key, finish="error", message=self._failure(error)) for key in keys]

    def _tell(self) -> None:
        """What of the seats has changed."""
        seats = len(self._seats), self._engine.active
        if seats != self._told:
            self._told = seats
            self._watch.hold(*seats)

    def _failure(self, error: BaseException) -> str:
        return f"{type(self._engine).__name__} failed ({type(error).__name__})"

    def _post(self, events: Sequence[Event]) -> None:
        """Put events into their owners' boxes, under the owners' numbers."""
        if not events:
            return
        now_s = time.monotonic()
        with self._lock:
            for event in events:
                owner, turn = self._seats[event.turn]
                if event.turn in self._started_s and (event.ids or event.finish):
                    started_s = self._started_s.pop(event.turn)
                    if event.ids:
                        self._watch.begin(now_s - started_s)
                if event.finish:
                    del self._seats[event.turn]
                holder = self._owners.get(owner)
                if holder is None or holder.keys.get(turn) != event.turn:
                    continue  # cancelled in the meantime
                if event.finish:
                    del holder.keys[turn]
                holder.box.post(Event(turn, event.ids, event.counts, event.finish, event.message))
            self._news.notify_all()

    def _cancel(self, key: int) -> None:
        self._engine.cancel(key)
        with self._lock:
            self._seats.pop(key, None)
            self._started_s.pop(key, None)
            self._freed.notify_all()

    def _drop_stale_owners(self) -> None:
        """With the lock held: end the turns of owners that stopped polling. They may read why for another lease."""
        now_s = time.monotonic()
        # Looks are half as far apart, or a step; for the rest this thread stood still, and with it maybe the machine
        stood_still_s = max(0.0, now_s - self._looked_s - self._lease_s / 2)
        self._looked_s = now_s
        for owner, holder in list(self._owners.items()):
            holder.seen_s = min(now_s, holder.seen_s + stood_still_s)
            silent_s = 0.0 if holder.polls else now_s - holder.seen_s
            if silent_s > self._lease_s:
                for turn, key in holder.keys.items():
                    log.warning("owner %s has not polled for %.1f s: its turn %s is dropped", owner, silent_s, turn)
                    self._actions.append((key, partial(self._cancel, key)))
                    message = f"the owner did not poll for {self._lease_s:g} s"
                    holder.box.post(Event(turn, finish="error", message=message))
                holder.keys.clear()
            if silent_s > 2 * self._lease_s:
                del self._owners[owner]
