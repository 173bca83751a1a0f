"""The queue of speakable ids: lag, skipping, the end, and that the arrival of text changes nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.spoken_text import SpokenText

EOT, BLANK, SILENT = 9, 8, 7
MASK = np.ones(10, np.bool_)
MASK[SILENT] = False


def text(from_text: bool = False) -> SpokenText:
    return SpokenText(MASK, EOT, BLANK, from_text)


def test_speech_starts_three_speakable_tokens_late_and_then_asks_for_one_at_a_time() -> None:
    spoken = text()
    spoken.advance()
    spoken.append([1, SILENT, 2], final=False)
    assert not spoken.ready() and spoken.queued == [1, 2]
    spoken.append([3, 4, 5], final=False)
    assert spoken.ready() and spoken.queued == [1, 2, 3] and spoken.consumed == 4
    assert spoken.ready() and spoken.consumed == 4, "nothing is consumed that was not asked for"
    spoken.advance()
    assert spoken.ready() and spoken.queued == [1, 2, 3, 4]


def test_the_window_holds_the_last_five_with_their_places_in_the_queue() -> None:
    spoken = text()
    spoken.append([1, 2, SILENT, 3, 4, 5, 6], final=False)
    for _ in range(4):
        spoken.advance()
        assert spoken.ready()
    assert spoken.window() == ([2, 3, 4, 5, 6], [1, 2, 3, 4, 5])


def test_a_short_answer_ends_with_end_of_turn_and_asks_for_nothing_more() -> None:
    for from_text in (False, True):
        spoken = text(from_text)
        spoken.advance()
        spoken.append([1, EOT], final=False)
        assert spoken.ready() and spoken.window() == ([1, EOT], [0, 1])
        spoken.append([2], final=False)
        spoken.advance()
        assert spoken.ready() and spoken.consumed == 2


def test_a_blank_stops_the_text_of_text_to_speech_only() -> None:
    for from_text, queued in ((True, [1, 2, BLANK]), (False, [1, 2, BLANK, 3])):
        spoken = text(from_text)
        spoken.append([1, 2, BLANK, 3], final=True)
        for _ in range(3):
            spoken.advance()
            assert spoken.ready()
        assert spoken.queued == queued


def test_text_that_is_final_without_end_of_turn_keeps_nobody_waiting() -> None:
    spoken = text()
    spoken.advance()
    spoken.append([SILENT], final=False)
    assert not spoken.ready()
    spoken.append([], final=True)
    assert spoken.ready() and spoken.window() == ([], [])


def test_an_id_beyond_the_text_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="10 is outside the text vocabulary of 10"):
        text().append([10], final=False)


@given(ids=st.lists(st.integers(0, 8), max_size=20), cuts=st.lists(st.integers(0, 20)), from_text=st.booleans())
def test_what_is_queued_does_not_depend_on_how_the_ids_arrive(ids: list[int], cuts: list[int], from_text: bool) -> None:
    def windows(pieces: list[list[int]]) -> list[object]:
        spoken, seen, left = text(from_text), [], list(pieces)
        for _ in range(10):
            spoken.advance()
            while not spoken.ready():
                spoken.append(left[0], final=len(left) == 1)
                del left[0]
            seen.append((spoken.window(), spoken.consumed))
        return seen

    bounds = [0, *sorted(min(c, len(ids)) for c in cuts), len(ids)]
    pieces = [ids[a:b] for a, b in pairwise(bounds)]
    assert windows(pieces) == windows([ids])
