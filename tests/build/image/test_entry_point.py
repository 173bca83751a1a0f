"""The images' entry point and health check, run as they are written down: a real server on the tiny checkpoint, for a
user without rights, from files that nobody may write."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.image.instructions import ROOT, read_targets
from tests.serving.raw_client import ask

ENTRY_POINT = [sys.executable, "-c", "from stream_omni_client.command import main; raise SystemExit(main())"]
NOBODY = 1000  # as in the images


@pytest.fixture
def read_only(built_directory: Path) -> Iterator[Path]:
    """A copy of a build that everybody may read, and only root may write."""
    folder = Path(tempfile.mkdtemp(prefix="stream-omni-served-"))
    try:
        shutil.copytree(built_directory, folder / "served")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder / "served"
    finally:
        shutil.rmtree(folder)


def as_nobody(command: list[str]) -> list[str]:
    """As user 1000, who may write nothing of root's, but still read it: the tests' Python may lie in root's home."""
    if os.geteuid() != 0:
        return command  # it has no rights anyway
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    rights = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    return ["setpriv", *user, *rights, *command]


def check_health(url: str) -> int:
    script = ROOT / "build" / "image" / "healthcheck.py"
    done = subprocess.run([sys.executable, script], env={**os.environ, "HEALTH_URL": url}, capture_output=True)
    return done.returncode


def test_the_server_image_serves_and_its_health_check_knows(read_only: Path, tmp_path: Path) -> None:
    target = read_targets()["cpu"]
    options = target.command("CMD")
    assert options[:3] == ["serve", "--repository", "/served"]
    options = [re.sub(r"^\d{4}$", "0", word) for word in options]
    options[2] = str(read_only)
    environment = {**os.environ, "HOME": "/tmp", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = as_nobody([*ENTRY_POINT, *options])
    with (tmp_path / "log").open("w") as log:
        serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd="/tmp")
    try:
        assert serving.stdout is not None
        doors = {}
        for line in serving.stdout:
            if line.strip() == "ready":
                break
            if found := re.fullmatch(r"(admin|gRPC|HTTP|metrics) +0\.0\.0\.0:(\d+)\n", line):
                doors[found[1]] = int(found[2])
                if found[1] == "admin":
                    assert check_health(f"http://127.0.0.1:{doors['admin']}/ready") == 1  # it starts
        assert {*doors} == {"admin", "gRPC", "metrics"}, (tmp_path / "log").read_text()
        if os.geteuid() == 0:
            assert Path(f"/proc/{serving.pid}").stat().st_uid == NOBODY
        assert check_health(f"http://127.0.0.1:{doors['admin']}{target.environment['HEALTH_URL'][-6:]}") == 0
        assert ask(f"127.0.0.1:{doors['gRPC']}", text="hi", max_tokens=2).error is None
        serving.send_signal(signal.SIGTERM)  # as `docker stop`
        assert serving.wait(30) == 0
        assert check_health(f"http://127.0.0.1:{doors['admin']}/ready") == 1
    finally:
        if serving.poll() is None:
            serving.kill()
        serving.wait()


def test_the_gateway_image_serves_and_is_alive(tmp_path: Path) -> None:
    target = read_targets()["gateway"]
    options = [re.sub(r"^\d{4}$", "0", word) for word in target.command("CMD")]
    command = as_nobody([*ENTRY_POINT, *options, "--url", "127.0.0.1:1"])
    environment = {**os.environ, "HOME": "/tmp", "PYTHONUNBUFFERED": "1"}
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        assert serving.stdout is not None
        port = next(int(found[1]) for line in serving.stdout if (found := re.search(r"http://[\w.]+:(\d+)", line)))
        deadline_s = time.monotonic() + 30
        while code := check_health(f"http://127.0.0.1:{port}/health/live"):
            assert time.monotonic() < deadline_s
            time.sleep(0.2)
        assert code == 0
        serving.send_signal(signal.SIGTERM)
        serving.wait(30)
        assert check_health(f"http://127.0.0.1:{port}/health/live") == 1
    finally:
        if serving.poll() is None:
            serving.kill()
        serving.wait()
