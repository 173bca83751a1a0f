"""What a listener would have noticed, told from made-up arrivals."""

from __future__ import annotations

import pytest
from stream_omni_eval.turn_trace import Arrival, Playback, TurnTrace


def audio(at_s: float, audio_s: float) -> Arrival:
    return Arrival("audio", at_s, audio_s, round(25 * audio_s))


def test_pieces_in_time_play_without_a_pause() -> None:
    found = Playback.of([audio(1.0, 1.0), audio(1.9, 1.0), audio(3.0, 2.0)])
    assert (found.underruns, found.silence_s) == (0, 0.0)
    assert found.gaps_s == pytest.approx((0.9, 1.1))
    assert found.steady_rate_hz == pytest.approx(75 / 2.0)
    assert found.keeps_up


def test_a_late_piece_is_one_underrun_and_moves_the_rest() -> None:
    """The second piece comes half a second late; the third would be late, had the player not paused before."""
    found = Playback.of([audio(1.0, 1.0), audio(2.5, 1.0), audio(3.4, 1.0)])
    assert found.underruns == 1
    assert found.silence_s == pytest.approx(0.5)
    assert not found.keeps_up


def test_every_late_piece_counts() -> None:
    found = Playback.of([audio(0.0, 0.1), audio(1.0, 0.1), audio(2.0, 0.1)])
    assert found.underruns == 2
    assert found.silence_s == pytest.approx(1.8)


def test_sound_that_comes_slower_than_it_plays_does_not_keep_up() -> None:
    """The first piece is long enough to hide it; a longer answer would have a gap."""
    found = Playback.of([audio(0.0, 4.0), audio(2.0, 1.0), audio(4.0, 1.0)])
    assert found.underruns == 0
    assert found.steady_rate_hz == pytest.approx(12.5)
    assert not found.keeps_up


def test_other_events_are_no_sound() -> None:
    arrivals = [Arrival("transcript", 0.1), Arrival("text", 0.2), audio(1.0, 2.0), Arrival("done", 5.0)]
    found = Playback.of(arrivals)
    assert (found.underruns, found.gaps_s, found.steady_rate_hz) == (0, (), None)
    assert found.keeps_up
    assert Playback.of([]) == Playback(0, 0.0, (), None)


def test_times_and_rates_of_a_turn() -> None:
    trace = TurnTrace(100.0, [Arrival("text", 0.5), audio(1.0, 1.0), audio(2.0, 3.0), Arrival("done", 2.1)])
    assert (trace.first_ms("text"), trace.first_ms("audio"), trace.last_ms("audio")) == (500, 1000, 2000)
    assert trace.first_ms("transcript") is None
    assert (trace.units, trace.audio_s, trace.ended_s) == (100, 4.0, 102.1)
    assert trace.unit_rate_hz() == pytest.approx(50.0)
    assert trace.realtime_factor() == pytest.approx(0.5)
    assert TurnTrace(0.0, [Arrival("text", 1.0)]).unit_rate_hz() is None
