"""Beginnings and ends of speech, of given likelihoods: one window is 32 ms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from stream_omni_client.gateway.realtime.turn_detector import (
    Change,
    SpeechStarted,
    SpeechStopped,
    TurnDetection,
    TurnDetector,
)
from stream_omni_client.gateway.realtime.voice_activity import WINDOW_SAMPLES

SETTINGS = TurnDetection(threshold=0.5, silence_duration_ms=96)  # three windows
LOUD, UNSURE, QUIET = 0.9, 0.4, 0.1


class Told:
    """Instead of the network: the likelihoods in order."""

    def __init__(self, likelihoods: Iterable[float]) -> None:
        self._likelihoods: Iterator[float] = iter(likelihoods)

    def __call__(self, window: NDArray[np.float32]) -> float:
        assert window.shape == (WINDOW_SAMPLES,) and window.dtype == np.float32
        return next(self._likelihoods)


def changes(likelihoods: list[float], position: int = 0, piece: int = WINDOW_SAMPLES) -> list[Change]:
    """With places counted in windows."""
    detector = TurnDetector(Told(likelihoods), SETTINGS, position)
    samples = np.zeros(len(likelihoods) * WINDOW_SAMPLES, np.int16)
    found: list[Change] = []
    for begin in range(0, len(samples), piece):
        for change in detector.feed(samples[begin : begin + piece]):
            if change is not None:
                assert change.at % WINDOW_SAMPLES == 0
                found.append(type(change)(change.at // WINDOW_SAMPLES))
    return found


def test_speech_begins_with_the_first_of_two_loud_windows_and_ends_after_the_silence() -> None:
    assert changes([QUIET, LOUD, LOUD, LOUD, QUIET, QUIET, QUIET, QUIET]) == [SpeechStarted(1), SpeechStopped(7)]


def test_a_click_is_no_speech() -> None:
    assert changes([QUIET, LOUD, QUIET, LOUD, QUIET, LOUD, QUIET]) == []


def test_a_pause_shorter_than_the_silence_is_no_end() -> None:
    assert changes([LOUD, LOUD, QUIET, QUIET, LOUD, QUIET, QUIET, QUIET]) == [SpeechStarted(0), SpeechStopped(8)]


def test_a_voice_that_sinks_a_little_goes_on() -> None:
    assert changes([LOUD, LOUD, UNSURE, UNSURE, UNSURE, UNSURE]) == [SpeechStarted(0)]


def test_silence_that_has_begun_is_not_undone_by_a_window_in_doubt() -> None:
    assert changes([LOUD, LOUD, QUIET, UNSURE, UNSURE]) == [SpeechStarted(0), SpeechStopped(5)]


def test_one_turn_follows_the_other() -> None:
    turn = [LOUD, LOUD, QUIET, QUIET, QUIET]
    expected = [SpeechStarted(0), SpeechStopped(5), SpeechStarted(5), SpeechStopped(10)]
    assert changes(turn + turn) == expected


def test_pieces_of_any_size_give_the_same() -> None:
    likelihoods = [QUIET, LOUD, LOUD, QUIET, QUIET, QUIET, LOUD, LOUD]
    whole = changes(likelihoods, piece=10**6)
    assert whole == changes(likelihoods, piece=100) == changes(likelihoods, piece=777)
    assert len(whole) == 3


def test_places_are_the_session_s() -> None:
    assert changes([LOUD, LOUD], position=100 * WINDOW_SAMPLES) == [SpeechStarted(100)]


def test_what_is_forgotten_must_begin_again() -> None:
    detector = TurnDetector(Told([LOUD] * 3 + [QUIET] * 5), SETTINGS, 0)
    two = np.zeros(2 * WINDOW_SAMPLES, np.int16)
    assert [type(change) for change in detector.feed(two)] == [type(None), SpeechStarted]
    detector.forget()
    assert not detector.is_speech
    assert list(detector.feed(np.zeros(6 * WINDOW_SAMPLES, np.int16))) == [None] * 6
