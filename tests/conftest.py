"""Session fixtures: the recorded cases, and the tiny checkpoints that they were recorded on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from voice_runtime import VoiceRuntime

from stream_omni.cosyvoice_checkpoint import Voices, read_cosyvoice
from stream_omni.model_info import ImageLayout, LlamaSizes, ModelInfo, Rope, VisionSizes, Vocabulary

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
def voice_info(tiny_cosyvoice: Path) -> ModelInfo:
    """The tiny CosyVoice checkpoint, described; the language model's sizes in it are stand-ins that no test reads."""
    flow, vocoder, voices = read_cosyvoice(tiny_cosyvoice)
    llama = LlamaSizes(64, 128, 4, 2, 16, 2, 4, 2, 1e-5, Rope(5e5))
    vocabulary = Vocabulary(132352, 132352, flow.units, 128000, 128009, 128002, (128009,))
    vision = VisionSizes(32, 64, 2, 2, 384, 14, 1e-6)
    image = ImageLayout("pad", "flat", ())
    return ModelInfo("tiny", llama, vocabulary, vision, image, 4096, "", flow, vocoder, next(iter(voices)))


@pytest.fixture(scope="session")
def voices(tiny_cosyvoice: Path) -> Voices:
    """Speaker embeddings of the tiny CosyVoice checkpoint by name."""
    return read_cosyvoice(tiny_cosyvoice)[2]


@pytest.fixture(scope="session")
def voice_runtime(voice_info: ModelInfo, tiny_cosyvoice: Path) -> VoiceRuntime:
    return VoiceRuntime(voice_info, tiny_cosyvoice)
