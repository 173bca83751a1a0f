"""The search for a replica's capacity: on made-up times whose capacity is known, and on the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from stream_omni_eval.turn_trace import Arrival, TurnTrace

from benchmarks import capacity
from benchmarks.__main__ import main
from benchmarks.capacity import Asks, Goal, confirmed, measure, most_that_holds, recorded, summary
from benchmarks.load import Closed
from benchmarks.plots import draw
from benchmarks.questions import SAMPLE_RATE_HZ, Ask, Question, spoken

MANIFEST = Path(__file__).parents[2] / "build" / "demo" / "held_out" / "questions.jsonl"


class Nobody:
    def ask(self, question: Question, leave_after: int | None = None) -> TurnTrace:
        raise AssertionError("the loop is made up")


@dataclass(frozen=True)
class Made:
    """A server whose first sounds take ``first_s`` for each stream; beyond ``places`` turns are refused once, beyond
    ``keeps_up`` their second piece comes too late."""

    first_s: float = 0.001
    places: int = 100
    keeps_up: int = 100

    def loop(self, asker: object, ask: object, streams: int, turns: int) -> Closed:
        first_s = self.first_s * streams
        second_s = first_s + (0.02 if streams <= self.keeps_up else 3.0)
        sounds = [Arrival("audio", first_s, 1.0, 25), Arrival("audio", second_s, 1.0, 25)]
        turn = TurnTrace(0.0, [*sounds, Arrival("done", second_s)], refusals=int(streams > self.places))
        return Closed([[turn] * turns] * streams)


@pytest.mark.parametrize("most", [0, 1, 2, 3, 5, 8, 13, 31, 32])
def test_the_largest_number_is_found_in_few_looks(most: int) -> None:
    looks: list[int] = []

    def holds(streams: int) -> bool:
        looks.append(streams)
        return streams <= most

    assert most_that_holds(holds, 32) == most
    assert len(looks) <= 11 and max(looks) <= 32 and len(set(looks)) == len(looks)


def test_luck_does_not_last() -> None:
    again = iter([False, False, True])
    assert confirmed(lambda streams: next(again), 7) == 5
    assert confirmed(lambda streams: False, 2) == 0


@pytest.mark.parametrize(
    ("server", "limited_by"),
    [(Made(first_s=0.1), "first sound"), (Made(places=6), "places"), (Made(keeps_up=6), "gaps")],
)
def test_what_limits_is_told(server: Made, limited_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "closed_loop", server.loop)
    goal, said = Goal(first_audio_ms=650, most_streams=16, least_turns=40), list[str]()
    values = measure(Nobody(), lambda look: spoken(1.0), goal, said.append)
    assert (values["capacity"], values["limited_by"]) == (6, limited_by)
    assert values["scaling_target"] == 4  # seven tenths, rounded down
    assert values["levels"][6]["misses"] == "" and values["levels"][7]["misses"] == limited_by
    assert values["levels"][6]["turns"] == 2 * 42  # looked at twice, 40 turns or more each time
    assert any(f"too many: {limited_by}" in line for line in said)


def test_what_follows_is_said() -> None:
    said = {
        "parameters": {"first_audio_ms": 600.0},
        "values": {"capacity": 6, "limited_by": "gaps", "scaling_target": 4},
    }
    assert "autoscaling.turnsPerReplica: 4" in summary(said) and "more play with gaps" in summary(said)
    said["values"]["capacity"] = 0
    assert "Not even one stream" in summary(said)


def test_questions_are_real_ones_and_never_twice_the_same() -> None:
    """Neither of another stream or turn, nor at another level, nor at the second look."""
    asks, asked = recorded(MANIFEST, 5.0), list[Question]()
    looks = _looks(asks, asked.append)
    assert looks == [1, 2, 4, 8, 6, 7, 6]
    sounds = {question.audio.tobytes() for question in asked if question.audio is not None}
    assert len(sounds) == len(asked) == 6 * sum(looks)
    assert all(0.5 < len(question.audio) / SAMPLE_RATE_HZ < 10 for question in asked if question.audio is not None)
    again = list[Question]()
    _looks(recorded(MANIFEST, 5.0), again.append)
    assert {question.audio.tobytes() for question in again if question.audio is not None} == sounds


def _looks(asks: Asks, note: Callable[[Question], object]) -> list[int]:
    """The streams of each look at a server of six places, six turns each, of which every question is noted."""
    streams_of_looks = []

    def loop(asker: object, ask: Ask, streams: int, turns: int) -> Closed:
        streams_of_looks.append(streams)
        for stream in range(streams):
            for turn in range(6):
                note(ask(stream, turn))
        return Made(places=6).loop(asker, ask, streams, turns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capacity, "closed_loop", loop)
        measure(Nobody(), asks, Goal(first_audio_ms=650, most_streams=16, least_turns=6), lambda line: None)
    return streams_of_looks


def test_a_real_server_is_measured_reported_and_drawn(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--first-audio-ms", "60000", "--most", "2", "--turns", "2", "--answer-s", "1"]
    assert main(["--results", str(tmp_path), "capacity", "--url", url, *quick]) == 0
    result = json.loads((tmp_path / "capacity.json").read_text(encoding="utf-8"))
    assert result["values"]["levels"].keys() >= {"1"} and result["parameters"]["server"] == url
    assert "turnsPerReplica" in capsys.readouterr().out or result["values"]["capacity"] == 0
    assert [path.name for path in draw({"capacity": result}, tmp_path)] == ["capacity.svg"]


def test_a_place_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["capacity"])
    assert "--url" in capsys.readouterr().err
