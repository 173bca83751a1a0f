"""Who may come in: a fixed number of places, a small waiting room in order of arrival, and a hint for the others."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from stream_omni.serving.drain_notice import SENTENCE
from stream_omni.serving.errors import DrainingError, OverloadedError
from stream_omni.serving.metrics import (
    FRONT_DOOR,
    REJECTED,
    STAGE_QUEUE_SECONDS,
    STAGE_SECONDS,
    STREAMS_ACTIVE,
    STREAMS_CAPACITY,
    STREAMS_WAITING,
    Recorder,
)

_RECENT_TURNS = 32
_FIRST_GUESS_S = 1.0  # about a short answer's time, while no turn has ended yet
_MIN_RETRY_MS = 100  # sooner, and asking again would itself be the load
_MAX_RETRY_MS = 60_000


class Admission:
    """Lives on one event loop. ``capacity`` turns at once; ``waiting`` more wait, each for at most ``wait_s``."""

    def __init__(self, capacity: int, waiting: int, wait_s: float, recorder: Recorder) -> None:
        self._capacity, self._room, self._wait_s, self._recorder = capacity, waiting, wait_s, recorder
        self._entered_s: dict[int, float] = {}  # by turn
        self._queue: deque[asyncio.Future[None]] = deque()
        self._promised = 0  # places given to those who have not woken up yet
        self._took_s: deque[float] = deque(maxlen=_RECENT_TURNS)
        self._closed = False
        self._retry_after_ms = 0  # once closed
        recorder.set(STREAMS_CAPACITY, capacity, stage=FRONT_DOOR)

    async def enter(self, turn: int) -> None:
        """Take a place; :meth:`leave` is owed then. Raises OverloadedError, DrainingError."""
        came_s = time.monotonic()
        self._check_open()
        if len(self._entered_s) + self._promised >= self._capacity:
            if len(self._queue) >= self._room:
                raise self.refusal("full", f"all {self._capacity} places are taken")
            await self._wait()
        now_s = self._entered_s[turn] = time.monotonic()
        self._recorder.observe(STAGE_QUEUE_SECONDS, now_s - came_s, stage=FRONT_DOOR)
        self._show()

    def leave(self, turn: int) -> None:
        """Of a turn that never entered: nothing."""
        entered_s = self._entered_s.pop(turn, None)
        if entered_s is None:
            return
        self._took_s.append(time.monotonic() - entered_s)
        self._recorder.observe(STAGE_SECONDS, self._took_s[-1], stage=FRONT_DOOR)
        self._call_next()

    def close(self, retry_after_ms: int) -> None:
        """Refuse those who wait and all who come."""
        self._closed, self._retry_after_ms = True, retry_after_ms
        for waiter in self._queue:
            if not waiter.done():
                waiter.set_result(None)

    def refusal(self, reason: str, sentence: str) -> OverloadedError:
        """Counted, and with the time after which a place is likely to be free for somebody behind all who wait."""
        self._recorder.add(REJECTED, reason=reason)
        expected_ms = round(1000 * self._usual_s() * (len(self._queue) + 1) / self._capacity)
        return OverloadedError(f"{sentence}; come again later", min(max(expected_ms, _MIN_RETRY_MS), _MAX_RETRY_MS))

    def _usual_s(self) -> float:
        """How long turns take of late; while none has ended, how long those that run have taken so far."""
        if self._took_s:
            return sum(self._took_s) / len(self._took_s)
        now_s = time.monotonic()
        return max([_FIRST_GUESS_S, *(now_s - entered_s for entered_s in self._entered_s.values())])

    def _check_open(self) -> None:
        if self._closed:
            self._recorder.add(REJECTED, reason="draining")
            raise DrainingError(SENTENCE, self._retry_after_ms)

    async def _wait(self) -> None:
        """Until a place has been given to this one."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        self._show()
        try:
            async with asyncio.timeout(self._wait_s):
                await waiter
        except BaseException as error:
            if waiter in self._queue:
                self._queue.remove(waiter)
                self._show()
            elif not waiter.cancelled():  # it was given a place in this very moment
                self._promised -= 1
                self._call_next()
            if isinstance(error, TimeoutError):
                raise self.refusal("waited", f"no place became free within {self._wait_s:g} s") from None
            raise
        if waiter in self._queue:  # woken by close
            self._queue.remove(waiter)
            self._show()
            self._check_open()
        self._promised -= 1

    def _call_next(self) -> None:
        """Hand a place that is free now to who waits longest."""
        while self._queue and len(self._entered_s) + self._promised < self._capacity and not self._closed:
            waiter = self._queue.popleft()
            if not waiter.done():  # done: its turn was cancelled, and has yet to notice
                self._promised += 1
                waiter.set_result(None)
        self._show()

    def _show(self) -> None:
        self._recorder.set(STREAMS_ACTIVE, len(self._entered_s), stage=FRONT_DOOR)
        self._recorder.set(STREAMS_WAITING, len(self._queue))
