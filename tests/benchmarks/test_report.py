"""From result files to the table and the plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stream_omni_eval.percentiles import Percentiles
from stream_omni_eval.turn_trace import Arrival, TurnTrace

from benchmarks import results, targets
from benchmarks.__main__ import main
from benchmarks.plots import draw
from benchmarks.subjects import Subject, with_slots
from benchmarks.summary import Ratio
from benchmarks.turn_metrics import describe_turns


def level(rate_hz: float) -> dict[str, Any]:
    arrivals = [Arrival("audio", 1.0, 1.0, 25), Arrival("audio", 1.5, 1.0, 25), Arrival("done", 1.6)]
    return {"unit_rate_hz": [rate_hz, rate_hz], **describe_turns([TurnTrace(0.0, arrivals)])}


def streams(ratio: float, alone_hz: float = 60.0) -> dict[str, Any]:
    measured = Ratio.of([ratio, ratio], [1.0, 1.0]).as_json()
    return {
        "levels": {1: level(alone_hz), 8: level(ratio * alone_hz)},
        "unit_rate_ratio": {1: Ratio.of([1.0], [1.0]).as_json(), 8: measured},
        "first_audio_p95_ratio": {8: Ratio.of([2.0], [1.0]).as_json()},
        "first_audio_share": Percentiles.of([0.1, 0.11]).as_json(),
        "streams_that_keep_up": 8,
        "resident_mb": [[0.0, 100.0], [1.0, 120.0]],
    }


def write(folder: Path, name: str, values: dict[str, Any]) -> None:
    results.record(name, {"plan": "smoke"}, lambda: values, folder)


def row(folder: Path, what: str) -> str:
    (found,) = (line for line in targets.table(results.load(folder)).splitlines() if line.startswith(f"| {what} "))
    return found


def test_a_result_says_how_it_came_about(tmp_path: Path) -> None:
    write(tmp_path, "growth", {"ratio": 1.23456789, "list": (1.0, 2)})
    content = json.loads((tmp_path / "growth.json").read_text(encoding="utf-8"))
    assert content["values"] == {"ratio": 1.2346, "list": [1.0, 2]}
    assert len(content["commit"]) == 40
    assert content["machine"]["cores"] >= 1 and content["machine"]["processor"]
    assert {"began", "command", "changed", "parameters", "seconds"} <= content.keys()


def test_the_table_names_every_target_and_what_is_missing(tmp_path: Path) -> None:
    lines = targets.table(results.load(tmp_path)).splitlines()
    assert len(lines) == 2 + len(targets.TARGETS)
    assert all("not measured" in line for line in lines[2:])


def test_met_and_missed(tmp_path: Path) -> None:
    write(tmp_path, "streams", streams(ratio=2.8))
    assert "2.8 (2.8 ... 2.8, 2 rounds) | **missed**" in row(tmp_path, "units a second, 8 streams / 1")
    assert "| met |" in row(tmp_path, "streams that all keep up with real time")
    assert "0.105" in row(tmp_path, "time to first audio / time to the whole answer, 10 s answer")
    assert "not measured" in row(tmp_path, "units a second, 16 streams / 1")


def test_a_fast_single_stream_has_less_to_gain(tmp_path: Path) -> None:
    write(tmp_path, "streams", streams(ratio=2.8, alone_hz=95.0))
    assert "| met |" in row(tmp_path, "units a second, 8 streams / 1")


def test_plots_are_drawn_of_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, "streams", streams(ratio=3.0))
    write(tmp_path, "cancelling", {"cancelled_after_s": [0.1, 2.0], "free_ms_of_each": [50.0, 60.0]})
    levels = {n: {"cpu_ms_a_unit": {"llm": 3.0, "vocoder": 2.0}} for n in (1, 8)}
    write(tmp_path, "work", {"cores": 2, "streams": levels})
    drawn = draw(results.load(tmp_path), tmp_path)
    assert [path.name for path in drawn] == ["streams.svg", "cancelling.svg", "work.svg"]
    assert "real time" in drawn[0].read_text(encoding="utf-8")
    before = drawn[0].read_bytes()
    assert draw(results.load(tmp_path), tmp_path)[0].read_bytes() == before


def test_the_command_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "streams", streams(ratio=3.2))
    assert main(["--results", str(tmp_path), "table"]) == 0
    assert capsys.readouterr().out == targets.table(results.load(tmp_path))


def test_a_served_directory_with_other_slots(built_directory: Path, tmp_path: Path) -> None:
    variant = tmp_path / "variant"
    with_slots(built_directory, variant, 3)
    made = Subject(variant, tmp_path)
    places = {"llm": "slots", "speech_top": "slots", "stream_omni": "capacity"}
    assert {made.parameter(model, name) for model, name in places.items()} == {3}
    assert (variant / "graphs" / "llm.onnx").is_file()
    whole = Subject(built_directory, tmp_path)
    assert made.parameter("stream_omni", "chunks") == whole.parameter("stream_omni", "chunks")


def test_a_directory_without_slots_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / "model_repository").mkdir(parents=True)
    with pytest.raises(ValueError, match="has slots"):
        with_slots(tmp_path / "empty", tmp_path / "other", 2)
