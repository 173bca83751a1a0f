"""A random tiny checkpoint and what ``stream-omni build`` makes of it, for all tests of the build."""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_omni_build.main import main
from stream_omni_build.random_checkpoint import DEFAULT_SEED, write_random_checkpoint
from stream_omni_build.random_sizes import TINY


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Stream-Omni and CosyVoice directories."""
    return write_random_checkpoint(TINY, tmp_path_factory.mktemp("random"), DEFAULT_SEED)


@pytest.fixture(scope="session")
def built(random_checkpoint: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Complete; not to be changed."""
    out = tmp_path_factory.mktemp("built") / "served"
    assert run_build(random_checkpoint, out) == 0
    return out


def run_build(checkpoint: tuple[Path, Path], out: Path, *more: str) -> int:
    language, cosyvoice = map(str, checkpoint)
    return main(["--checkpoint", language, "--cosyvoice", cosyvoice, "--target", "cpu", "--out", str(out), *more])
