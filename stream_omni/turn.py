"""Turns in process: the served turn's own code over stages in this process, without Triton and without a network."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeAlias

from stream_omni.answer import Event
from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.session import Array, Runtime
from stream_omni.serving.errors import first_cause
from stream_omni.serving.limits import Limits
from stream_omni.serving.local_stages import LocalStages
from stream_omni.serving.stage_calls import StageCalls
from stream_omni.serving.stages import Stages
from stream_omni.serving.turn_driver import TurnDriver

_STAGE_TIMEOUT_S = 300.0  # nothing here can die alone; this ends what hangs

Said: TypeAlias = Event | BaseException | None  # an error, or None at the end


class InProcess:
    """``slots`` turns at once, from any threads, in batched steps as served ones. Use it with ``with``, or ``close``.

    ``schedule``, ``limits`` and ``prefix_cache_mb`` (of each language stage) default to what a profile would.
    """

    def __init__(
        self,
        runtime: Runtime,
        assets: Assets,
        schedule: ChunkSchedule | None = None,
        limits: Limits | None = None,
        *,
        slots: int = 1,
        prefix_cache_mb: int = 64,
    ) -> None:
        self._local = LocalStages(runtime, assets, slots, prefix_cache_mb)
        self._driver = TurnDriver(assets, limits or Limits(), schedule or ChunkSchedule(), _STAGE_TIMEOUT_S)
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._stages = Stages(StageCalls(self._loop, self._local.infer))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="turns")
        self._thread.start()

    def __enter__(self) -> InProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, inputs: Mapping[str, Array]) -> Iterator[Event]:
        """The events of one turn, which begins when the first is asked for; ``inputs`` by the names of the protocol.

        Closing the iterator ends the turn. Raises :class:`~stream_omni.serving.errors.TurnError` as the served turn
        would send it; OverloadedError also shortly after a turn was closed early, whose slot is free a step later.
        """
        said: queue.SimpleQueue[Said] = queue.SimpleQueue()
        task = asyncio.run_coroutine_threadsafe(self._begin(inputs, said.put), self._loop).result()
        try:
            while (event := said.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self._loop.call_soon_threadsafe(task.cancel)

    def close(self) -> None:
        """End all turns."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)  # not closed: a stage may still come back to it
        self._thread.join()
        self._local.close()

    async def _begin(self, inputs: Mapping[str, Array], tell: Callable[[Said], None]) -> asyncio.Task[None]:
        return self._loop.create_task(self._run(inputs, tell))

    async def _run(self, inputs: Mapping[str, Array], tell: Callable[[Said], None]) -> None:
        number, end = next(self._numbers), None
        try:
            await self._driver.answer(self._stages, number, inputs, time.monotonic(), tell)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            end = first_cause(error)
        finally:
            await self._stages.release(number)
            tell(end)

    async def _end(self) -> None:
        self._stages.stop()
        tasks: set[asyncio.Task[Any]] = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
