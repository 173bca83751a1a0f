"""All stages of the demo checkpoint's training, in the smallest amounts."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from stream_omni_demo.__main__ import main
from stream_omni_demo.checkpoint.folders import packed_of
from stream_omni_demo.pipeline import (
    GateError,
    Measured,
    Stage,
    Workshop,
    accept,
    left_to_make,
    read_record,
    run_stages,
)
from stream_omni_demo.plan import FULL, SMOKE, Plan
from stream_omni_demo.stages import STAGES

from stream_omni.checkpoint import open_sources

ROOT = Path(__file__).parents[2]


def children_s() -> float:
    """What ended child processes have used of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_every_stage_comes_after_what_it_needs() -> None:
    before: set[str] = set()
    for stage in STAGES:
        assert stage.name not in before
        assert before.issuperset(stage.needs), stage.name
        before.add(stage.name)


def test_the_smoke_plan_makes_a_whole_checkpoint_within_two_minutes_of_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before_s = children_s()
    command = [sys.executable, "-m", "stream_omni_demo", "--plan", "smoke", "--work", str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "build" / "demo")})
    assert children_s() - before_s < 120
    record = read_record(tmp_path)
    assert list(record) == [stage.name for stage in STAGES]
    assert record["pack"]["measured"]["untrained_tensors"] == 0
    packed = packed_of(Workshop(tmp_path, SMOKE))
    open_sources(packed.language, packed.cosyvoice)

    assert left_to_make(STAGES, Workshop(tmp_path, SMOKE)) == []
    assert left_to_make(STAGES, Workshop(tmp_path, FULL)) == list(record)
    more_top = Workshop(tmp_path, replace(SMOKE, top_steps=SMOKE.top_steps + 1))
    assert left_to_make(STAGES, more_top) == ["top"]

    assert main(["--plan", "smoke", "--work", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("already made") == len(STAGES)
    assert main(["--plan", "smoke", "--work", str(tmp_path), "vocodr"]) == 1
    assert "there is no stage vocodr; there are layout, corpus" in capsys.readouterr().err


def test_every_amount_of_the_plan_makes_a_stage_anew() -> None:
    same_result = {"name", "seed", "judged", "threads", "corpus_processes"}  # or, for seed and judged, all of them
    amounts = {name for stage in STAGES for name in stage.amounts}
    assert amounts == {field.name for field in fields(Plan)} - same_result


def test_the_stages_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [stage.name for stage in STAGES]


def test_a_stage_that_missed_its_gate_can_be_accepted_and_the_record_tells(tmp_path: Path) -> None:
    made: list[str] = []

    def making(name: str, measured: Measured) -> Callable[[Workshop], Measured]:
        def make(_: Workshop) -> Measured:
            made.append(name)
            return measured

        return make

    poor = Stage("poor", "", making("poor", {"right": 0.5}), lambda m: f"{m['right']:.0%} are right")
    after = Stage("after", "", making("after", {}), lambda _: "", needs=("poor",))
    workshop = Workshop(tmp_path, FULL, lambda _: None)
    with pytest.raises(ValueError, match="poor was not made yet"):
        accept([poor, after], "poor", workshop)
    for _ in range(2):
        with pytest.raises(GateError, match="poor: 50% are right"):
            run_stages([poor, after], ["after"], workshop)
    assert accept([poor, after], "poor", workshop) == "50% are right"
    run_stages([poor, after], ["after"], workshop)
    assert made == ["poor", "poor", "after"]
    assert left_to_make([poor, after], workshop) == []
    entry = read_record(tmp_path)["poor"]
    assert (entry["passed"], entry["accepted"], entry["missed"]) == (False, True, "50% are right")
    for name, told in (("after", "has passed its gate"), ("none", "there is no stage none")):
        with pytest.raises(ValueError, match=told):
            accept([poor, after], name, workshop)
