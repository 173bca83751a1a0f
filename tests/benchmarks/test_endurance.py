"""What a long run finds level and what not; the run itself is tested by a short one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import endurance
from benchmarks.__main__ import main
from benchmarks.holdings import KINDS, TOLERANCES, growth

SECONDS = [3.0 * n for n in range(1200)]  # an hour
NOISE = np.random.default_rng(0).normal(0, 1, len(SECONDS))


def test_what_breathes_is_level() -> None:
    assert abs(growth(SECONDS, list(900 + 20 * NOISE))) < TOLERANCES["resident_mb"] / 3
    assert abs(growth(SECONDS, [14.0 + n % 7 for n in range(1200)])) < TOLERANCES["places_taken"] / 3
    assert growth(SECONDS, [0.0] * 1200) == 0 and growth([0.0], [5.0]) == 0


def test_the_warm_up_is_not_judged() -> None:
    warming = [500 + min(n, 250) * 1.6 for n in range(1200)]
    assert abs(growth(SECONDS, warming)) < 1e-9


@pytest.mark.parametrize("leak_an_hour", [45.0, 200.0])
def test_a_leak_is_found_in_spite_of_noise(leak_an_hour: float) -> None:
    leaking = [900 + 10 * noise + leak_an_hour * at_s / 3600 for at_s, noise in zip(SECONDS, NOISE, strict=True)]
    assert growth(SECONDS, leaking) > TOLERANCES["resident_mb"]


def test_everything_that_is_wrong_is_told() -> None:
    level = {"growth": dict.fromkeys(KINDS, 0.0), "tolerances": TOLERANCES, "places_lost": 0}
    level |= {"next_turn_is_the_same": True, "processes_left": 0, "recoveries": []}
    good = {**level, "errors": [], "endings": {"done": 8, "cancelled": 2}}
    assert endurance.faults(good) == []
    bad = {
        **good,
        "growth": {**level["growth"], "open_handles": 0.5},
        "places_lost": 2,
        "next_turn_is_the_same": False,
        "processes_left": 3,
        "errors": ["INTERNAL: no"],
        "endings": {"failed": 1, "done": 5, "cancelled": 1},
        "recoveries": ["llm: its process ended"],
    }
    assert endurance.faults(bad) == [
        "open_handles rose by 50.0%; at most 3% is level",
        "2 places are taken after the end",
        "the turn after all of it is not what it was before",
        "3 processes outlived the server",
        "1 turns failed, first: INTERNAL: no",
        "something broke and was mended: llm: its process ended",
        "14.3% of the turns were cancelled, not 20%",
    ]


@pytest.mark.faults
def test_a_short_run(tmp_path: Path) -> None:
    """Too short to judge what is held, but nobody fails and nothing is lost."""
    paths, faults = endurance.run(0.3, tmp_path / "cache", tmp_path)
    values = json.loads(paths[0].read_text(encoding="utf-8"))["values"]
    assert values["endings"].keys() == {"done", "cancelled"} and values["places_lost"] == 0
    assert values["next_turn_is_the_same"] and values["processes_left"] == 0
    assert 0.2 <= values["endings"]["cancelled"] / sum(values["endings"].values()) < 0.4
    totals = [sum(each) for each in zip(*values["handles"].values(), strict=True)]
    assert totals == values["held"]["open_handles"] and {"socket", "pipe", "file"} <= values["handles"].keys()
    assert all(min(values["held"][kind]) > 0 for kind in ("resident_mb", "open_handles", "shared_mb"))
    assert max(values["held"]["places_taken"]) > 8
    assert all("rose by" in fault for fault in faults)
    assert paths[1].read_text(encoding="utf-8").count("<svg") == 1


def test_a_run_in_which_memory_still_fills_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["endure", "--minutes", "9"])
    assert "take at least 20" in capsys.readouterr().err
