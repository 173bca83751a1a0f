"""Numbers of turns whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
from stream_omni_eval.asking import MODES, Job, Turn, jobs_of
from stream_omni_eval.hearing import Hearing, error_rate, share
from stream_omni_eval.manifest import Item
from stream_omni_eval.report import report
from stream_omni_eval.scoring import describe_company, describe_modes, describe_sound, describe_whole
from stream_omni_eval.sound import Sound, describe_seams
from stream_omni_eval.turn_trace import Arrival, TurnTrace

RATE_HZ = 22050
T2T, T2S, S2T, S2S = MODES


class Ear:
    """Hears as many words as there are tenths of a second."""

    def __init__(self) -> None:
        self.asked = 0

    def transcribe(self, samples: np.ndarray, rate_hz: int) -> str:
        self.asked += 1
        return " ".join(["one", "two", "three", "four"][: round(10 * len(samples) / rate_hz)])


def tone(seconds: float, level: float = 0.3) -> np.ndarray:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (level * 32767 * np.sin(2 * np.pi * 220 * time_s)).astype(np.int16)


def item(name: str = "1", group: str = "near", **more) -> Item:
    return Item(name, group, "What is it?", keywords=(("red",),), transcript="What is it?", **more)


def turn(mode=S2S, text="It is red.", transcript="what is", seconds=0.3, at_s=0.4, **more) -> Turn:
    samples = tone(seconds) if mode.output == "speech" else np.zeros(0, np.int16)
    arrivals = [Arrival("text", 0.1), Arrival("audio", at_s, seconds, 8), Arrival("done", at_s + 0.1)]
    kept = arrivals if mode.output == "speech" else arrivals[::2]
    job = Job(more.pop("item", item()), mode)
    rate_hz = RATE_HZ if len(samples) else 0
    values = {"samples": samples, "rate_hz": rate_hz, "pieces": (len(samples),), "finish_reason": "stop"}
    return Turn(job, TurnTrace(0.0, kept), transcript if mode.spoken else "", text, **(values | more))


def test_an_item_is_asked_in_every_way_that_it_has(tmp_path) -> None:
    sound = tmp_path / "a.wav"
    written, spoken = Item("1", "all", "Hi"), Item("2", "all", audio=sound)
    both = Item("3", "all", "Hi", sound)
    assert [(job.item.name, job.mode) for job in jobs_of([written, spoken, both])] == [
        *(("1", mode) for mode in (T2T, T2S)),
        *(("2", mode) for mode in (S2T, S2S)),
        *(("3", mode) for mode in MODES),
    ]


def test_rates_and_shares_leave_out_what_is_not_known() -> None:
    assert error_rate([("one two", "one"), ("", "hello"), ("three", "three")]) == {
        "texts": 2,
        "words": 3,
        "wer": pytest.approx(1 / 3),
    }
    assert error_rate([]) == {"texts": 0, "words": 0, "wer": None}
    assert share([True, None, False, True]) == {"known": 3, "right": 2, "share": pytest.approx(2 / 3)}
    assert share([None])["share"] is None


def test_modes_and_groups_are_told_apart() -> None:
    ear = Ear()
    turns = [
        turn(S2S, text="one two red", seconds=0.2),
        turn(S2S, text="One two three.", item=item("2", "far"), transcript="What is it?"),
        turn(T2T, text="red"),
        turn(T2T, text="blue"),
        turn(T2T, error="ServerError: no"),
    ]
    found = describe_modes(turns, Hearing(ear, print))
    assert list(found) == ["text to text", "speech to speech"]
    typed, spoken = found.values()
    assert (typed["turns"], typed["failed"], typed["answers"]) == (3, 1, {"known": 2, "right": 1, "share": 0.5})
    assert typed["transcripts"]["wer"] is None and typed["first_audio_ms"]["count"] == 0
    assert spoken["transcripts"] == {"texts": 2, "words": 6, "wer": pytest.approx(1 / 6)}
    assert spoken["groups"]["far"]["transcripts"]["wer"] == 0
    assert spoken["groups"]["near"]["transcripts"]["wer"] == pytest.approx(1 / 3)
    assert spoken["speech"]["wer"] == pytest.approx(1 / 6)  # "red" is not heard
    assert spoken["first_audio_ms"]["p50"] == pytest.approx(400)
    assert spoken["realtime_factor"]["p50"] == pytest.approx((0.4 / 0.2 + 0.4 / 0.3) / 2)
    assert ear.asked == 2, "equal sounds are heard once"


def test_company_is_compared_to_the_bit() -> None:
    alone = [turn(item=item(str(n))) for n in range(3)]
    together = [turn(item=item(str(n)), at_s=0.9) for n in range(3)]
    together[1].samples = together[1].samples.copy()
    together[1].samples[7] += 1
    found = describe_company(alone, together, 8, None)
    assert (found["identical"], found["differing"], found["streams"]) == (2, ["1"], 8)
    assert "speech" not in found and found["first_audio_ms"]["p50"] == pytest.approx(900)


def test_streamed_speech_is_compared_with_the_same_in_one_piece() -> None:
    turns = [turn(text="one two three four", seconds=0.4), turn(text="one two three four", seconds=0.4)]
    found = describe_whole(turns, [tone(0.3), None], Hearing(Ear(), print))
    assert (found["answers"], found["failed"]) == (1, 1)
    assert found["streamed"]["wer"] == 0 and found["in_one_piece"]["wer"] == 0.25


def test_a_click_where_pieces_join_is_found() -> None:
    generator = np.random.default_rng(0)
    samples = (3000 * generator.standard_normal(256 * 300)).astype(np.int16)
    pieces = (256 * 40,) * 7 + (256 * 20,)
    clean = describe_seams([(samples, pieces)])
    assert all(0.2 < entry["rank"] < 0.8 for entry in clean.values())
    joins = np.cumsum(pieces)[:-1]
    for sign, (begin, end) in enumerate(zip(joins, [*joins[1:], len(samples)], strict=True)):
        samples[begin:end] = samples[begin:end] // 4 + 9000 * (sign % 2 * 2 - 1)  # a quieter sound, that jumps
    assert describe_seams([(samples, pieces)])["kink"]["rank"] > 0.9
    assert describe_seams([(samples, (len(samples),))]) == {}


def test_faults_of_a_sound_are_counted() -> None:
    quiet = np.zeros(RATE_HZ, np.int16)
    paused = Sound.of(np.concatenate([quiet, tone(0.5), quiet, tone(0.5), quiet[: RATE_HZ // 2]]), RATE_HZ)
    assert (paused.begins_after_s, paused.longest_pause_s, paused.ends_before_s) == pytest.approx((1, 1, 0.5), abs=0.02)
    assert paused.clipped_share == 0 and not paused.is_silent
    assert Sound.of(tone(0.5, 1.0), RATE_HZ).clipped_share > 0.05
    assert Sound.of(quiet, RATE_HZ).is_silent
    assert paused.duration_s == pytest.approx(3.5)
    found = describe_sound([turn(), turn(samples=quiet), turn(samples=quiet[:0])])
    assert (found["answers"], found["silent"], found["clipped"], found["with_long_pauses"]) == (2, 1, 0, 0)


def test_the_report_has_a_row_for_what_was_found() -> None:
    turns = [turn(), turn(T2S, item=item("2", "far"))]
    hearing = Hearing(Ear(), print)
    values = {"modes": describe_modes(turns, hearing), "sound": describe_sound(turns)}
    values["company"] = describe_company(turns, turns, 8, hearing)
    values["whole"] = describe_whole(turns, [each.samples for each in turns], hearing)
    values["source_voice"] = error_rate([("one two", "one")])
    result = {"values": values, "items": 2, "began": "2026-01-02T03:04:05", "served": {"checkpoint": "small"}}
    result["machine"] = {"processor": "a processor", "cores": 2}
    text = report(result)
    for part in (
        "Checkpoint `small`, 2 items, 2026-01-02, asked from a machine with 2 x a processor.",
        "| each turn alone | text to speech | speech to speech |",
        "| answers right | 100.0% of 1 | 100.0% of 1 |",
        "| - far | 100.0% of 1 | - |",
        "| transcript, WER | - | 33.3% |",
        "| source voice's own WER | 50.0% |",
        "| 8 at a time: identical answers | 2 of 2 |",
        "| silent, clipped, long pauses within | 0, 0, 0 |",
    ):
        assert part in text
