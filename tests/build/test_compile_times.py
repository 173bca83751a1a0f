"""How long compiling takes: told of every graph, by the earlier build where there was one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from stream_omni_build import compile_times
from stream_omni_build.compile_times import MEASURED_S, tell_compile_time
from stream_omni_build.deployment import GRAPHS_OF, Deployment, read_deployment
from stream_omni_build.engines.engine_manifest import EngineManifest, FilePart, GraphRecord, StageRecord, Target

PART = FilePart("a", 1, "0")
ALL = [name for names in GRAPHS_OF.values() for name in names]
ELSEWHERE_S = dict.fromkeys(ALL, 90.0)


def record_build(out: Path, seconds: dict[str, dict[str, float]]) -> None:
    """An earlier build whose compilers took that long, by stage and graph."""
    stages = {}
    for stage, graphs in seconds.items():
        records = {name: GraphRecord(PART, PART, PART, {}, {}, {"compile": took}) for name, took in graphs.items()}
        stages[stage] = StageRecord("key", 0, "bf16", "bf16", [], records)
    EngineManifest(Target("10.14.1", "tensorrt", "A GPU", "9.0"), {}, stages).save(out)


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """gpu-1, where 90 s have been measured of every graph."""
    monkeypatch.setattr(compile_times, "MEASURED_S", ELSEWHERE_S)
    return read_deployment("gpu-1")


def test_times_are_of_graphs_that_there_are() -> None:
    assert MEASURED_S.keys() <= set(ALL)
    assert all(seconds > 0 for seconds in MEASURED_S.values())


def test_a_first_build_is_told_what_compilers_take_at_least(deployment: Deployment, tmp_path: Path) -> None:
    told = tell_compile_time(deployment, tmp_path)
    assert told == "at least 12 min to compile 8 graphs, which it took where no GPU was; TensorRT-LLM's own on top"


def test_a_graph_whose_time_is_not_known_is_named(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_times, "MEASURED_S", {k: v for k, v in ELSEWHERE_S.items() if k != "vocoder"})
    told = tell_compile_time(deployment, tmp_path)
    assert "compile 7 graphs" in told and "1 graphs to compile, which takes nobody knows how long (vocoder)" in told


def test_an_earlier_build_tells_how_long_it_takes_here(deployment: Deployment, tmp_path: Path) -> None:
    record_build(tmp_path, {"vocoder": {"f0_predictor": 60.0, "vocoder": 240.0}, "llm": {"llm": 600.0}})
    told = tell_compile_time(deployment, tmp_path)
    assert told.startswith("5 min to compile 2 graphs, as last time here; at least 9 min to compile 6 graphs")
    assert told.endswith("10 min for TensorRT-LLM")


def test_a_llm_of_our_own_is_compiled_with_the_rest(deployment: Deployment, tmp_path: Path) -> None:
    llm = dataclasses.replace(deployment.stages["llm"], engine="tensorrt")
    own = dataclasses.replace(deployment, stages={**deployment.stages, "llm": llm})
    assert "TensorRT-LLM" not in tell_compile_time(own, tmp_path)
    assert "to compile 9 graphs" in tell_compile_time(own, tmp_path)


@pytest.mark.parametrize("earlier", [False, True])
def test_pytorch_compiles_nothing(earlier: bool, tmp_path: Path) -> None:
    if earlier:
        record_build(tmp_path, {"vocoder": {"vocoder": 60.0}})
    assert tell_compile_time(read_deployment("gpu-torch"), tmp_path) == "nothing is compiled"
