"""Session fixtures: the recorded cases, and the tiny checkpoints that they were recorded on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream_omni.cosyvoice_checkpoint import Voices, read_cosyvoice
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.torch_runtime import TorchRuntime

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    return FIXTURES


def _make_checkpoint(name: str, *arguments: str) -> Path:
    """Regenerated bit for bit from a seed (make_checkpoint.py compares checksums), once for all runs on a machine."""
    cache = Path(os.environ.get("STREAM_OMNI_TEST_CACHE", Path.home() / ".cache" / "stream-omni-tests"))
    out = cache / "seed11" / name
    if not (out / "complete").exists():
        command = [sys.executable, str(FIXTURES / "make_checkpoint.py"), "--seed", "11", "--out", str(out), *arguments]
        subprocess.run(command, check=True)
        (out / "complete").touch()
    return out


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Path:
    """The recorded cases' checkpoint with text_vocab_size 132352 (no tokenizer)."""
    return _make_checkpoint("text-132352") / "stream-omni-tiny"


@pytest.fixture(scope="session")
def tiny_cosyvoice() -> Path:
    return _make_checkpoint("text-132352") / "cosyvoice-tiny"


@pytest.fixture(scope="session")
def tiny_checkpoint_128256() -> Path:
    return _make_checkpoint("text-128256", "--text-vocab", "128256", "--only", "llm") / "stream-omni-tiny"


@pytest.fixture(scope="session")
def voice_runtime(tiny_checkpoint: Path, tiny_cosyvoice: Path) -> TorchRuntime:
    return TorchRuntime(tiny_checkpoint, tiny_cosyvoice)


@pytest.fixture(scope="session")
def voice_info(voice_runtime: TorchRuntime) -> ModelInfo:
    return voice_runtime.info


@pytest.fixture(scope="session")
def voices(tiny_cosyvoice: Path) -> Voices:
    """Speaker embeddings of the tiny CosyVoice checkpoint by name."""
    return read_cosyvoice(tiny_cosyvoice)[2]
