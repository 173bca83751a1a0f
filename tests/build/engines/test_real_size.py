"""Every graph at its real size through a real TensorRT compiler (`make test-engines`): for the profile of an 80 GB GPU,
and for that of one of 24 GB what is in 8 bits there.

One graph at a time, each in a process of its own, whose memory is bounded. Large matrices are inputs of the network
instead of constants: the geometry is compiled, and nobody needs 16 GB for it. Those of 8 bits are constants with random
values; of the LLM two layers.
"""

from __future__ import annotations

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from stream_omni_build.deployment import GRAPHS_OF
from stream_omni_build.engines import real_size

from tests.build.engines.hollow import write_hollow_checkpoint
from tests.build.engines.real_geometry import Case, Compiled, compile_geometry

pytestmark = pytest.mark.engines

MOST_BYTES = 6_000_000_000
SPARE_BYTES = 1_000_000_000  # of an engine's scratch beyond what is planned for it: less than a 24 GB card's headroom
CASES = [
    *(Case("gpu-1", stage, graph) for stage, names in GRAPHS_OF.items() for graph in names),
    *(Case("gpu-2", "speech_top", graph) for graph in ("speech_bottom_step", "speech_top")),  # the largest caches
    Case("gpu-1-24g", "speech_bottom", "speech_bottom"),
    Case("gpu-1-24g", "speech_top", "speech_bottom_step"),
    Case("gpu-1-24g", "speech_top", "speech_top"),
    *(Case("gpu-1-24g", "llm", "llm", precision, layers=2) for precision in ("int8", "fp8")),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_hollow_checkpoint(tmp_path_factory.mktemp("hollow"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_real_geometry_compiles_in_bounded_memory(case: Case, checkpoint: tuple[Path, Path], tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        compiled, peak_bytes = pool.submit(measured, checkpoint, case, tmp_path).result()
    print(f"\n{case}: {compiled}, {peak_bytes / 1e9:.2f} GB of memory")
    assert compiled.plan_bytes > 100_000
    assert 0 < compiled.scratch_bytes < compiled.planned_bytes + SPARE_BYTES
    assert peak_bytes < MOST_BYTES + (compiled.plan_bytes if case.holds_weights else 0)


def measured(checkpoint: tuple[Path, Path], case: Case, folder: Path) -> tuple[Compiled, int]:
    compiled = compile_geometry(checkpoint, case, folder)
    return compiled, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_what_realsize_measures_and_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("stays")
    assert real_size.main(["--work", str(tmp_path), "--size", "tiny"]) == 0
    rows = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[2:]]
    graphs = [graph for names in GRAPHS_OF.values() for graph in names]
    assert rows == [f"| {what}" for what in ("random checkpoint", "backbone", *graphs)]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
