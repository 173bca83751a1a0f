"""The mailbox joins a turn's events and gives them out as tensors once."""

from __future__ import annotations

import numpy as np

from stream_omni.runtime.events import Event, Mailbox


def test_events_of_a_turn_become_one_and_come_back_as_they_went_in() -> None:
    box = Mailbox()
    box.post(Event(2**63, [1, 2], [0, 1]))
    box.post(Event(5, [7]))
    box.post(Event(2**63, [3], [1], "stop"))
    box.post(Event(6, finish="error", message="no luck"))
    batch = box.take()
    assert [a.dtype for a in (batch.turns, batch.lens, batch.ids, batch.counts, batch.fin)] == [
        np.uint64,
        *[np.int32] * 4,
    ]
    assert batch.lens.tolist() == [3, 1, 0] and batch.fin.tolist() == [1, 0, 3]
    assert list(batch.events()) == [
        Event(2**63, [1, 2, 3], [0, 1, 1], "stop"),
        Event(5, [7], [0]),
        Event(6, [], [], "error", "no luck"),
    ]


def test_what_was_taken_or_discarded_does_not_come_again() -> None:
    box = Mailbox()
    box.post(Event(1, [1]))
    box.post(Event(2, [2]))
    box.discard(1)
    assert box and [e.turn for e in box.take().events()] == [2]
    assert not box and len(box.take()) == 0
