"""What `helm test` runs, on a real server and a real gateway: the very commands of its pod."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.client.gateway.gateway_process import gateway_process
from tests.helm.cases import CASES
from tests.helm.chart import Manifest, render

_COMMAND = "from stream_omni_client.command import main; raise SystemExit(main())"
_NOBODY = "127.0.0.1:9"


def _container(name: str) -> Manifest:
    (found,) = [part for part in render(CASES["cpu"]).pod("test")["spec"]["containers"] if part["name"] == name]
    return found


def _run(name: str, url: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    """The container ``name``; ``url``: where the server or the gateway is in place of their Services."""
    part = _container(name)
    program = part["command"]
    if program[0] == "stream-omni":
        command = [sys.executable, "-c", _COMMAND, *program[1:], *part["args"]]
        told = {each["name"]: each["value"] for each in part["env"]} | {"STREAM_OMNI_URL": url}
    else:
        script, address = part["args"]
        assert program == ["python", "-c"] and address.endswith("-gateway.speech.svc:8080/health/ready")
        command = [sys.executable, "-c", script, f"http://{url}/health/ready"]
        told = {each["name"]: each["value"] for each in part["env"]}
    assert told["HOME"] == "/tmp"
    environment = {"PATH": os.environ["PATH"], **told, "HOME": str(scratch)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_it_passes_where_a_server_answers_and_a_gateway_reaches_it(url: str, tmp_path: Path) -> None:
    asked = _run("turn", url, tmp_path)
    assert asked.returncode == 0 and f"{url} answers, in " in asked.stdout, asked.stderr
    with gateway_process(url) as gateway:
        looked = _run("gateway", gateway.address, tmp_path)
        assert looked.returncode == 0 and '"status":"ok"' in looked.stdout, looked.stdout + looked.stderr


def test_it_fails_where_none_does(tmp_path: Path) -> None:
    assert _run("turn", _NOBODY, tmp_path).returncode != 0
    assert _run("gateway", _NOBODY, tmp_path).returncode != 0
