"""What a turn's events tell the metrics, on a clock that the test moves."""

from __future__ import annotations

import time

import numpy as np
import pytest

from stream_omni.answer import Event, Kind
from stream_omni.serving.metrics import (
    AUDIO_CHUNK_GAP_SECONDS,
    AUDIO_SECONDS,
    AUDIO_UNDERRUNS,
    FIRST_AUDIO_PART_SECONDS,
    FIRST_AUDIO_SECONDS,
    FIRST_TEXT_SECONDS,
    FIRST_TRANSCRIPT_SECONDS,
    REALTIME_FACTOR,
    REQUESTS,
)
from stream_omni.serving.turn_meter import TurnMeter
from tests.serving.notebook import Notebook, key

RATE_HZ = 1000


def told(monkeypatch: pytest.MonkeyPatch, events: list[tuple[float, Kind, float]]) -> Notebook:
    """Of events (when, kind, seconds of sound) of a turn that came at 0."""
    notes = Notebook()
    meter = TurnMeter(notes, 0.0)
    meter.know("speech_to_speech")
    for seq, (now_s, kind, sound_s) in enumerate(events):
        monkeypatch.setattr(time, "monotonic", lambda now_s=now_s: now_s)
        samples = np.zeros(round(sound_s * RATE_HZ), np.int16)
        meter.hear(Event(kind, seq, samples=samples, sample_rate_hz=RATE_HZ))
    meter.end("ok")
    return notes


def test_first_times_are_from_the_arrival_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = told(monkeypatch, [(0.2, "transcript", 0), (0.3, "text", 0), (0.35, "text", 0), (0.5, "audio", 1)])
    mode = {"mode": "speech_to_speech"}
    for metric, first_s in ((FIRST_TRANSCRIPT_SECONDS, 0.2), (FIRST_TEXT_SECONDS, 0.3), (FIRST_AUDIO_SECONDS, 0.5)):
        assert notes.observed[key(metric, **mode)] == [first_s]
    assert notes.counted[key(REQUESTS, **mode, outcome="ok")] == 1
    assert not notes.observed[key(REALTIME_FACTOR)]  # one piece has no rate


def test_a_piece_that_comes_after_all_was_played_is_an_underrun(monkeypatch: pytest.MonkeyPatch) -> None:
    # plays from 1.0 to 2.0; late by 0.5, plays to 4.5; in time, to 5.5; in time; late again
    pieces = [(1.0, 1.0), (2.5, 2.0), (3.0, 1.0), (5.4, 0.1), (6.0, 1.0)]
    notes = told(monkeypatch, [(at_s, "audio", sound_s) for at_s, sound_s in pieces])
    assert notes.counted[key(AUDIO_UNDERRUNS)] == 2
    assert notes.counted[key(AUDIO_SECONDS)] == pytest.approx(5.1)
    assert notes.observed[key(AUDIO_CHUNK_GAP_SECONDS)] == pytest.approx([1.5, 0.5, 2.4, 0.6])
    assert notes.observed[key(REALTIME_FACTOR)] == pytest.approx([5.0 / 4.1])


def test_the_way_to_the_first_sound_is_told_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def at(now_s: float) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: now_s)

    notes = Notebook()
    meter = TurnMeter(notes, 0.0)
    at(0.1), meter.reach("admission")
    at(0.3), meter.know("speech_to_speech")
    at(0.6), meter.reach("speech_bottom")
    at(0.7), meter.reach("speech_top")
    assert not notes.counted
    at(1.1), meter.hear(Event("text", 0))
    at(1.2), meter.hear(Event("text", 1))
    at(1.6), meter.reach("speech_top")
    for now_s in (2.2, 3.0):  # the second piece is in no part
        at(now_s), meter.hear(Event("audio", 2, samples=np.zeros(RATE_HZ, np.int16), sample_rate_hz=RATE_HZ))
        meter.reach("speech_top")
    told = {name[2]: seconds for name, seconds in notes.counted.items() if name[0] == FIRST_AUDIO_PART_SECONDS.name}
    parts = {"admission": 0.1, "request": 0.2, "speech_bottom": 0.3, "speech_top": 0.6, "llm": 0.4, "token2wav": 0.6}
    assert told == pytest.approx(parts)


def test_a_turn_that_was_never_read_has_no_mode() -> None:
    notes = Notebook()
    TurnMeter(notes, time.monotonic()).end("invalid")
    assert notes.counted == {key(REQUESTS, mode="unknown", outcome="invalid"): 1}
