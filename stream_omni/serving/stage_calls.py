"""Unary calls from a turn to its stages, awaited on an asyncio loop; what carries them out is handed in."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from stream_omni.runtime.session import Array
from stream_omni.serving.daemon_threads import DaemonThreads
from stream_omni.serving.errors import StageError
from stream_omni.serving.stage_processes import StageProcesses

Value = TypeVar("Value")

# One blocking call: a stage's name, its inputs, and the names of the outputs that are wanted of it. Raises TurnError.
Infer = Callable[[str, Mapping[str, Array], Sequence[str]], dict[str, Array]]


# The stages that make up an ensemble, whose processes a call of it needs.
_STEPS = {"token2wav": ("cosyvoice_flow", "vocoder")}
_LOOK_S = 0.25  # how often a call that waits looks whether the stage's process lives, and how long it has waited


class StageCalls:
    """``processes``: of stages that may end by themselves; None: they are in this process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, infer: Infer, processes: StageProcesses | None = None) -> None:
        self._loop, self._infer, self._processes = loop, infer, processes
        self._threads = DaemonThreads("stage-call")

    async def call(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        timeout_s: float,
        pending: set[asyncio.Future[Any]] | None = None,
    ) -> dict[str, Array]:
        """The stage's ``outputs`` by name.

        A caller that is cancelled does not stop the stage; the call stays in ``pending`` until the stage answered.
        Raises the :class:`TurnError` that the stage's error states, or StageError, also soon after its process ended,
        and at once where it has none: Triton would try for a second to reach it.
        """
        needed = _STEPS.get(model, (model,))
        processes = self._processes.of(needed) if self._processes else {}
        if self._processes and (ended := self._processes.missing(needed, processes)):
            raise StageError(ended, "its process ended, and no other is there yet")
        return await self.run(lambda: self._infer(model, inputs, outputs), model, timeout_s, pending, processes)

    async def run(
        self,
        work: Callable[[], Value],
        name: str,
        timeout_s: float,
        pending: set[asyncio.Future[Any]] | None = None,
        processes: Mapping[str, int] | None = None,
    ) -> Value:
        """``work()``, in a thread; ``name`` is what a timeout's message blames, ``processes`` what it needs to live.

        What is waited is counted in looks, not by the clock: of a machine that stood still nobody was silent."""
        future: asyncio.Future[Value] = self._loop.create_future()
        if pending is not None:
            pending.add(future)
            future.add_done_callback(pending.discard)
        context = contextvars.copy_context()  # the request's id goes along
        self._threads.submit(lambda: context.run(self._settle, future, work))
        left_s = timeout_s
        try:
            while not future.done():
                if left_s <= 0:
                    raise StageError(name, f"no answer after {timeout_s:g} s")
                await asyncio.wait([future], timeout=min(left_s, _LOOK_S))
                left_s -= _LOOK_S
                if processes and self._processes and not future.done() and (ended := self._processes.ended(processes)):
                    raise StageError(ended, "its process ended")
            return future.result()
        finally:
            future.add_done_callback(_retrieve)  # nobody may be waiting any more

    def _settle(self, future: asyncio.Future[Value], work: Callable[[], Value]) -> None:
        try:
            value = work()
        except Exception as raised:
            self._loop.call_soon_threadsafe(_fail, future, raised)
        else:
            self._loop.call_soon_threadsafe(_succeed, future, value)


def _succeed(future: asyncio.Future[Value], value: Value) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
