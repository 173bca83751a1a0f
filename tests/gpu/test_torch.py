"""The profile gpu-torch: what a GPU computes in plain PyTorch, and how fast. Needs no TensorRT."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from stream_omni_build.replay_command import main as replay

from stream_omni.networks.fused_attention import fuse_attention
from stream_omni.runtime.torch_runtime import Device, TorchRuntime
from tests.gpu.conftest import stream_omni
from tests.gpu.timing import time_turns

pytestmark = pytest.mark.gpu

BF16 = Device("cuda:0", torch.bfloat16, chunk_tokens=512)
STARTS_WITHIN_S = 60.0


def test_fp32_holds_every_recorded_value(
    fixtures_dir: Path, tiny_checkpoint: Path, tiny_cosyvoice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids exactly, arrays within the tolerances of the CPU."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    where = ["--checkpoint", str(tiny_checkpoint), "--cosyvoice", str(tiny_cosyvoice), "--cases", str(fixtures_dir)]
    assert replay([*where, "--device", "cuda:0"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_is_held_to_its_bounds(
    precision: str, fixtures_dir: Path, tiny_checkpoint: Path, tiny_cosyvoice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--checkpoint", str(tiny_checkpoint), "--cosyvoice", str(tiny_cosyvoice), "--cases", str(fixtures_dir)]
    assert replay([*where, "--device", "cuda:0", "--precision", precision]) == 0, capsys.readouterr().out


def test_the_attention_kernel_is_named(tiny: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    from stream_omni.networks import make_network

    kernel = fuse_attention(make_network("llm", TorchRuntime(tiny[0]).info), torch.device("cuda"), torch.bfloat16)
    with capsys.disabled():
        print(f"\nattention: {kernel}")


def test_a_build_of_gpu_torch_is_only_links(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, cosyvoice = tiny
    out = tmp_path / "served"
    stream_omni("build", "--checkpoint", checkpoint, "--cosyvoice", cosyvoice, "--target", "gpu-torch", "--out", out)
    assert (out / "checkpoint").is_symlink() and not (out / "engines").exists()


def test_first_unit_and_units_at_real_size(real_size: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    began_s = time.perf_counter()
    runtime = TorchRuntime(*real_size, device=BF16)
    for graph in ("llm", "speech_bottom", "speech_bottom_step", "speech_top"):
        runtime.session(graph)
    torch.cuda.synchronize()
    loaded_s = time.perf_counter() - began_s
    with capsys.disabled():
        print(f"\ngpu-torch, 8b, bf16: weights read in {loaded_s:.0f} s, {torch.cuda.max_memory_allocated() >> 20} MB")
        for turns in (1, 8):
            print(time_turns(runtime, runtime.info, turns).line("gpu-torch, 8b, bf16"))
    assert loaded_s < STARTS_WITHIN_S
