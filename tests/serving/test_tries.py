"""When to try again, and when not to any more."""

from __future__ import annotations

from stream_omni.serving.tries import Tries


def test_the_first_at_once_then_later_and_later_then_no_more() -> None:
    tries, now_s, waits = Tries(8), 100.0, []
    while (wait_s := tries.wait_s(now_s)) is not None:
        waits.append(wait_s)
        now_s += wait_s
        tries.note(now_s)
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]


def test_what_is_left_of_a_wait_passes_with_time() -> None:
    tries = Tries(5)
    assert (tries.note(10.0), tries.wait_s(10.2), tries.wait_s(11.0)) == (1, 0.5 - (10.2 - 10.0), 0.0)


def test_what_held_for_a_minute_broke_for_another_reason() -> None:
    tries = Tries(2)
    tries.note(0.0)
    assert tries.note(1.0) == 2 and tries.wait_s(60.0) is None
    assert tries.wait_s(61.5) == 0.0 and tries.note(61.5) == 1
