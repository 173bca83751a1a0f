"""On a machine with a GPU: checkpoints at tiny and real size, kept between runs where STREAM_OMNI_GPU_WORK says."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

WORK = Path(os.environ.get("STREAM_OMNI_GPU_WORK", Path.home() / ".cache" / "stream-omni-gpu"))
RECIPE = "docs/production.md has the command that runs these tests in NVIDIA's image (The GPU's own tests)"
NEEDED = f"needs a CUDA GPU, and a PyTorch that finds it; {RECIPE}"


@pytest.fixture(scope="session", autouse=True)
def gpu() -> str:
    """Its name, as PyTorch has it; without one all is skipped."""
    if not torch.cuda.is_available():
        pytest.skip(NEEDED)
    return torch.cuda.get_device_name(0)


def require_tensorrt() -> None:
    """Whoever has a GPU wants to know of engines: without TensorRT their tests fail, where a skip would look well."""
    if missing := [name for name in ("tensorrt", "tensorrt_llm") if find_spec(name) is None]:
        pytest.fail(f"there is a GPU, but no {' and no '.join(missing)}: {RECIPE}", pytrace=False)


def stream_omni(*arguments: object) -> str:
    """The command, in a process of its own, so that its memory is free afterwards; what it printed."""
    program = "from stream_omni_client.command import main; raise SystemExit(main())"
    ran = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


def random_checkpoint(size: str) -> tuple[Path, Path]:
    """Stream-Omni and CosyVoice directories; those of 8b are 25 GB, and made once."""
    folder = WORK / size
    if not (folder / "complete").exists():
        stream_omni("build", "random", "--size", size, "--out", folder)
        (folder / "complete").touch()
    language = next(path.parent for path in folder.glob("stream-omni-*/config.json"))
    return language, next(path.parent for path in folder.glob("cosyvoice-*/cosyvoice.yaml"))


@pytest.fixture(scope="session")
def tiny() -> tuple[Path, Path]:
    return random_checkpoint("tiny")


@pytest.fixture(scope="session")
def real_size() -> tuple[Path, Path]:
    return random_checkpoint("8b")
