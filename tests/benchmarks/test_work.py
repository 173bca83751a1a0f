"""Where a unit's processor time goes, measured on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measure.work import measure
from benchmarks.plans import PLANS
from benchmarks.subjects import Subject


def test_the_work_of_a_unit(built_directory: Path, tmp_path: Path) -> None:
    values = measure(Subject(built_directory, tmp_path), PLANS["smoke"])
    assert list(values["streams"]) == [1, 2]
    for streams, level in values["streams"].items():
        each = level["cpu_ms_a_unit"]
        assert level["units"] == 25 * streams  # one second each
        stages = {"speech_top", "llm", "cosyvoice_flow", "vocoder", "stream_omni"}
        assert stages | {"tritonserver", "client"} <= each.keys()
        assert each["speech_top"] > 0 and level["cpu_ms_a_unit_in_all"] == pytest.approx(sum(each.values()))
        assert 0 < level["cores_busy"] <= values["cores"] + 0.1
