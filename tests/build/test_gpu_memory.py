"""What a deployment takes of GPUs and disk: held against what can be counted by hand, and told before a build."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from stream_omni_build import build_estimate
from stream_omni_build.build_estimate import Disk, build_disk, host_memory, require_disk, write_rate
from stream_omni_build.deployment import read_deployment, shipped
from stream_omni_build.engines.shapes import profiles
from stream_omni_build.gpu_memory import (
    CARD_GB_BYTES,
    COMPILERS_SHARE,
    HEADROOM,
    LEAST_WORKSPACE_BYTES,
    by_gpu,
    compiler_workspace,
    deployment_memory,
    fits,
    llm_workspace,
    weight_bytes,
)
from stream_omni_build.gpu_repository import deployed
from stream_omni_build.hardware_table import BEGIN, END, replaced
from stream_omni_build.live_bytes import workspace_bytes
from stream_omni_build.main import main
from stream_omni_build.published_sizes import published_info
from stream_omni_build.random_sizes import REAL
from stream_omni_build.weight_plan import NoSpaceError

from stream_omni.graphs import graphs

INFO = published_info()
ROOT = Path(__file__).parents[2]


def test_the_published_sizes_are_those_of_the_real_geometry() -> None:
    assert (INFO.llama, INFO.vision) == (REAL.llama, REAL.vision)
    assert (INFO.vocabulary.size, INFO.vocabulary.text_size) == (REAL.vocabulary, REAL.text_vocabulary)
    assert INFO.flow is not None and INFO.vocoder is not None
    assert INFO.flow.estimator_mid_blocks == REAL.cosyvoice.estimator_mid_blocks
    assert INFO.vocoder.base_channels == REAL.cosyvoice.vocoder_channels


def test_weights_of_llama_3_1_8b() -> None:
    """Its published number of parameters: 8,030,261,248."""
    stage = read_deployment("gpu-1").stages["llm"]
    assert weight_bytes(INFO, "llm", stage) == 2 * 8_030_261_248
    narrow = weight_bytes(INFO, "llm", dataclasses.replace(stage, precision="int8"))
    assert 9.0e9 < narrow < 9.2e9  # two tables of 2 bytes, the rest of one


def test_caches_are_128_kb_a_position() -> None:
    deployment = read_deployment("gpu-1")
    (llm,) = (m for m in deployment_memory(deployed(INFO, deployment), deployment) if m.stage.name == "llm")
    usual = deployment.turns * deployment.positions * 128 * 1024
    assert usual < llm.caches < 1.02 * usual  # and one array of them twice


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_profile_fits_the_gpu_that_it_is_for(name: str) -> None:
    deployment = read_deployment(name)
    assert fits(deployment_memory(deployed(INFO, deployment), deployment), deployment)


@pytest.mark.parametrize("name", shipped())
def test_engines_may_take_all_that_compilers_plan_for(name: str) -> None:
    """What is more than the table counts comes out of a GPU's headroom."""
    deployment = read_deployment(name)
    info = deployed(INFO, deployment)
    made, more = graphs(info), [0] * deployment.gpus
    for memory in deployment_memory(info, deployment):
        if memory.stage.engine == "tensorrt":
            shapes = {graph: profiles(made[graph], info, deployment) for graph in memory.stage.graphs}
            limits = [compiler_workspace(made[graph], info, found) for graph, found in shapes.items()]
            assert min(limits) >= LEAST_WORKSPACE_BYTES
            assert max(limits) >= COMPILERS_SHARE * memory.workspace / memory.stage.instances - 1
            more[memory.stage.gpu] += memory.stage.instances * max(limits) - memory.workspace
    assert max(more) < (1 - HEADROOM) * deployment.gpu_memory_gb * CARD_GB_BYTES


def test_a_profile_for_more_turns_takes_more() -> None:
    deployment = read_deployment("gpu-1-24g")
    more = dataclasses.replace(
        deployment,
        turns=4,
        stages={n: dataclasses.replace(s, batch=4) if n == "llm" else s for n, s in deployment.stages.items()},
    )
    before, after = (by_gpu(deployment_memory(deployed(INFO, d), d), d)[0] for d in (deployment, more))
    assert after - before > 2 * deployment.positions * 128 * 1024


def test_live_bytes_are_those_that_live_at_once() -> None:
    class Chain(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(5):
                x = (x + 1).view(-1)  # each result once, its view not again; the former one ends
            return x

    x = torch.empty(1000, device="meta")
    assert workspace_bytes(Chain(), [x]) == 2 * 4000


def test_the_disk_of_a_build_is_refused_before_it_begins(tmp_path: Path) -> None:
    disk = build_disk(INFO, read_deployment("gpu-1"))
    assert 20e9 < disk.kept < 40e9 < disk.peak < 80e9
    with pytest.raises(NoSpaceError, match=r"needs 10000000.0 GB while it works and keeps 1.0 GB: free 9999\d{3}"):
        require_disk(Disk(kept=10**9, peak=10**16, written=10**16), tmp_path / "not" / "there")
    require_disk(Disk(1, 1, 1), tmp_path)


def test_what_an_interrupted_build_left_is_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "weights").write_bytes(bytes(5000))
    free = build_estimate.shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(build_estimate.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    assert free > 6000
    require_disk(Disk(0, 6000, 0), tmp_path)
    with pytest.raises(NoSpaceError):
        require_disk(Disk(0, 6001, 0), tmp_path)


def test_tensorrt_llm_holds_the_prompts_of_all_turns() -> None:
    """16 prompts of 12288 rows of 4096 in bf16, and a layer of one whole prompt."""
    table, layer = 16 * 12288 * 4096 * 2, 12304 * (2 * 4096 + 3 * 14336) * 2
    assert 0 < llm_workspace(INFO, read_deployment("gpu-1")) - table - layer < 10e6  # the logits


def test_the_hosts_memory_is_that_of_the_widest_stage_in_fp32() -> None:
    deployment = read_deployment("gpu-1")
    memory, llm = host_memory(INFO, deployment), deployment.stages["llm"]
    assert memory.convert < 6e9  # the bound of make test-realsize
    assert memory.record > 2 * weight_bytes(INFO, "llm", llm)  # which is in bf16, and recorded for the replay
    without = dataclasses.replace(deployment, stages={"speech_top": deployment.stages["speech_top"]})
    assert host_memory(INFO, without).record < memory.record / 2
    assert host_memory(INFO, read_deployment("gpu-torch")).record == 0


def test_the_rate_of_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = write_rate(tmp_path / "not there")
    assert rate is not None and rate > 1e6
    assert not list(tmp_path.iterdir())

    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(build_estimate.tempfile, "TemporaryFile", refuse)
    assert write_rate(tmp_path) is None


def test_estimate_needs_no_checkpoint_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_estimate, "build_disk", lambda info, deployment: Disk(10**9, 2 * 10**9, 10**9))
    assert main(["--target", "gpu-1-24g", "--estimate", "--out", str(tmp_path / "served")]) == 0
    said = capsys.readouterr().out
    assert "| `llm` | 0 | tensorrt-llm, int8 | 9" in said and "estimate: 2.0 GB of disk while it works" in said
    assert not (tmp_path / "served").exists()


def test_estimate_is_told_also_of_a_disk_that_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_estimate, "build_disk", lambda info, deployment: Disk(10**9, 10**16, 10**9))
    assert main(["--target", "gpu-1", "--estimate", "--out", str(tmp_path / "served")]) == 0
    said = capsys.readouterr()
    assert "10000000.0 GB of disk while it works" in said.out and "to compile" in said.out
    assert "or choose another --out" in said.out and not said.err


def test_estimate_is_for_gpus_and_a_build_needs_its_directories(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, sentence in (
        (["--target", "cpu", "--estimate"], "--estimate is for GPUs"),
        (["--target", "gpu-1"], "required: --checkpoint, --cosyvoice, --out"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert sentence in capsys.readouterr().err


def test_the_table_in_the_document_is_todays() -> None:
    document = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
    assert replaced(document) == document, "run: python -m stream_omni_build.hardware_table docs/production.md"
    with pytest.raises(ValueError, match="there is no"):
        replaced(document.replace(END, "").replace(BEGIN, ""))
