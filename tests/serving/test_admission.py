"""Places, the waiting room's order, its bounds, and the hints of refusals."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from stream_omni.serving.admission import Admission
from stream_omni.serving.errors import DrainingError, OverloadedError
from stream_omni.serving.metrics import REJECTED, STAGE_QUEUE_SECONDS, STREAMS_ACTIVE, STREAMS_WAITING
from tests.serving.notebook import Notebook, key


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


def retry_ms(refusal: BaseException) -> int:
    found = re.match(r"OVERLOADED retry_after_ms=(\d+): ", str(refusal))
    assert found is not None, refusal
    return int(found[1])


def shown(notes: Notebook) -> tuple[float, float]:
    """Turns that have a place, and that wait."""
    return notes.gauges[key(STREAMS_ACTIVE, stage="stream_omni")], notes.gauges[key(STREAMS_WAITING)]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_places_then_a_room_then_refusal_at_once() -> None:
    async def test() -> None:
        notes = Notebook()
        admission = Admission(2, 1, 5.0, notes)
        await admission.enter(1)
        await admission.enter(2)
        third = asyncio.create_task(admission.enter(3))
        await settle()
        assert shown(notes) == (2, 1)
        with pytest.raises(OverloadedError, match="all 2 places are taken"):
            await admission.enter(4)
        admission.leave(4)  # never entered
        admission.leave(1)
        await third
        admission.leave(2)
        admission.leave(3)
        assert shown(notes) == (0, 0)
        assert notes.counted == {key(REJECTED, reason="full"): 1}
        assert len(notes.observed[key(STAGE_QUEUE_SECONDS, stage="stream_omni")]) == 3

    run(test())


def test_who_waits_longest_is_next_and_who_comes_meanwhile_does_not_overtake() -> None:
    async def test() -> None:
        admission, order = Admission(1, 8, 5.0, Notebook()), list[int]()

        async def turn(number: int) -> None:
            await admission.enter(number)
            order.append(number)
            await asyncio.sleep(0)
            admission.leave(number)

        await admission.enter(0)
        waiting = [asyncio.create_task(turn(number)) for number in range(1, 6)]
        await settle()
        waiting[1].cancel()
        admission.leave(0)
        await asyncio.gather(turn(6), *waiting, return_exceptions=True)  # 6 comes when the place is promised to 1
        assert order == [1, 3, 4, 5, 6]

    run(test())


def test_waiting_is_bounded_in_time() -> None:
    async def test() -> None:
        notes = Notebook()
        admission = Admission(1, 1, 0.1, notes)
        await admission.enter(1)
        began_s = time.monotonic()
        with pytest.raises(OverloadedError, match=r"no place became free within 0\.1 s"):
            await admission.enter(2)
        assert 0.09 < time.monotonic() - began_s < 0.5
        assert shown(notes) == (1, 0) and notes.counted[key(REJECTED, reason="waited")] == 1
        admission.leave(1)
        await admission.enter(3)

    run(test())


@pytest.mark.parametrize("freed_first", [True, False])
def test_a_place_that_was_given_to_a_turn_that_just_left_is_passed_on(freed_first: bool) -> None:
    async def test() -> None:
        notes = Notebook()
        admission = Admission(1, 2, 5.0, notes)
        await admission.enter(1)
        leaving, staying = (asyncio.create_task(admission.enter(number)) for number in (2, 3))
        await settle()
        steps = [lambda: admission.leave(1), leaving.cancel]
        for step in steps if freed_first else steps[::-1]:
            step()  # both before either task runs
        await staying
        assert leaving.cancelled() and shown(notes) == (1, 0)
        admission.leave(3)
        await admission.enter(4)
        assert shown(notes) == (1, 0)

    run(test())


def test_the_hint_follows_what_turns_take_and_who_waits() -> None:
    async def test() -> None:
        admission = Admission(1, 0, 0.0, Notebook())
        await admission.enter(0)
        assert retry_ms(admission.refusal("full", "")) == 1000  # nothing is known yet
        admission.leave(0)
        hints = []
        for took_s in (0.4, 0.01):
            admission._took_s.extend([took_s] * 32)
            hints.append(retry_ms(admission.refusal("full", "")))
        assert hints == [400, 100]  # never so soon that asking again is the load
        busy = Admission(2, 3, 60.0, Notebook())
        busy._took_s.append(4.0)
        await busy.enter(1)
        await busy.enter(2)
        waiting = [asyncio.create_task(busy.enter(number)) for number in (3, 4, 5)]
        await settle()
        assert retry_ms(busy.refusal("full", "")) == 8000  # the fourth place to be free, one every 2 s
        for task in waiting:
            task.cancel()
        busy._took_s.append(10_000.0)
        assert retry_ms(busy.refusal("full", "")) == 60_000

    run(test())


def test_the_end_refuses_those_who_wait_and_all_who_come() -> None:
    async def test() -> None:
        notes = Notebook()
        admission = Admission(1, 2, 60.0, notes)
        await admission.enter(1)
        waiting = [asyncio.create_task(admission.enter(number)) for number in (2, 3)]
        await settle()
        admission.close(1500)
        refusals = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(refusal) for refusal in refusals] == [DrainingError] * 2
        with pytest.raises(DrainingError):
            await admission.enter(4)
        admission.leave(1)
        assert shown(notes) == (0, 0) and notes.counted[key(REJECTED, reason="draining")] == 3

    run(test())
