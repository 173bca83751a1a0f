"""Which tritonserver is taken: that of an NVIDIA image, else the wheel's, else one on PATH."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from stream_omni.serving import installed_server
from stream_omni.serving.installed_server import NoServerError, find_server
from stream_omni.serving.launcher import TritonServer
from tests.serving.test_launcher import probe, repository  # noqa: F401

STUB = "triton_python_backend_stub"


def wheel() -> Path:
    spec = find_spec("pytriton")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "tritonserver"


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """/opt/tritonserver as NVIDIA's images lay it out, of the wheel's files."""
    home, python = tmp_path / "tritonserver", tmp_path / "tritonserver" / "backends" / "python"
    (home / "bin").mkdir(parents=True)
    python.mkdir(parents=True)
    (home / "bin" / "tritonserver").symlink_to(wheel() / "bin" / "tritonserver")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for file in (*(wheel() / "backends" / "python").iterdir(), wheel() / "python_backend_stubs" / version / STUB):
        (python / file.name).symlink_to(file)
    return home


def test_a_real_server_runs_from_the_layout_of_an_image(
    container: Path,
    repository: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installed_server, "CONTAINER", container)
    with TritonServer(repository, probe=probe) as server:
        assert server.process is not None
        command = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode().split("\0")
    assert command[0] == str(container / "bin" / "tritonserver")
    assert f"--backend-directory={container / 'backends'}" in command and "--allow-gpu-metrics=true" in command


def test_without_an_image_the_wheels_is_taken(tmp_path: Path) -> None:
    found = find_server(tmp_path)
    assert found.binary == wheel() / "bin" / "tritonserver" and not found.sees_gpus
    assert (found.backends / "python" / STUB).exists()


def test_without_the_wheel_the_one_on_path(container: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_server, "find_spec", lambda name: None)
    binary = container / "bin" / "tritonserver"
    binary.unlink()
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(container / "bin"))
    assert find_server(tmp_path).backends == container / "backends"


def test_none_at_all_and_one_without_a_python_backend(
    container: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (container / "backends" / "python" / STUB).unlink()
    monkeypatch.setattr(installed_server, "CONTAINER", container)
    with pytest.raises(NoServerError, match="has no Python backend"):
        find_server(tmp_path)
    monkeypatch.setattr(installed_server, "CONTAINER", tmp_path / "nothing")
    monkeypatch.setattr(installed_server, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServerError, match=r"install the extra `server` \(pip install 'stream-omni\[server\]'\)"):
        find_server(tmp_path)
