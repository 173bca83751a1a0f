"""Session fixtures: the recorded cases, the tiny checkpoints that they were recorded on, and one real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_omni.cosyvoice_checkpoint import Voices, read_cosyvoice
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.torch_runtime import TorchRuntime
from stream_omni.serving.launcher import TritonServer

FIXTURES = Path(__file__).parent / "fixtures"

# A shell starts background jobs with Ctrl-C ignored, and what they start inherits that; the tests send it on purpose.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def built_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random checkpoint, built. STREAM_OMNI_TEST_BUILT names one that is there already."""
    if ready := os.environ.get("STREAM_OMNI_TEST_BUILT"):
        return Path(ready)
    folder = tmp_path_factory.mktemp("served")
    command = [sys.executable, "-c", "from stream_omni_client.command import main; raise SystemExit(main())", "build"]
    subprocess.run([*command, "random", "--size", "tiny", "--out", str(folder)], check=True)
    checkpoints = ["--checkpoint", str(folder / "stream-omni-tiny"), "--cosyvoice", str(folder / "cosyvoice-tiny")]
    subprocess.run([*command, *checkpoints, "--target", "cpu", "--out", str(folder / "built")], check=True)
    return folder / "built"


@pytest.fixture(scope="session")
def server(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("w") as file, TritonServer(built_directory, http_port=0, log=file, drain_timeout_s=3) as running:
        yield running


@pytest.fixture(scope="session")
def url(server: TritonServer) -> str:
    return server.grpc_url
