"""One real server for all tests of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_omni.serving.launcher import TritonServer


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
    with log.open("w") as file, TritonServer(built_directory, log=file, drain_timeout_s=3) as running:
        yield running


@pytest.fixture(scope="session")
def url(server: TritonServer) -> str:
    return server.grpc_url
