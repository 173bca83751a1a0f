"""The supervisor's HTTP, on a supervisor whose server was not started yet."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_omni.serving.admin import AdminDoor
from stream_omni.serving.launcher import LaunchError, TritonServer
from stream_omni.serving.metrics import BROKEN, READY, RECOVERIES, SUPERVISED_SECONDS, SUPERVISOR_METRICS
from stream_omni.serving.supervisor import Supervision, Supervisor
from tests.serving.small_repository import make_repository


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(TritonServer(make_repository(tmp_path / "repository")), Supervision())


@pytest.fixture
def admin(supervisor: Supervisor) -> Iterator[str]:
    with AdminDoor(supervisor, "127.0.0.1", 0, longest_idle_s=0.5) as door:
        yield door.url


def call(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{url}{path}", None, headers, method=method)
        ) as page:
            return page.status, json.load(page)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_server_that_has_not_answered_is_not_ready(admin: str, supervisor: Supervisor) -> None:
    assert call(admin, "/ready") == (503, {"ready": False})
    code, status = call(admin, "/status")
    assert code == 200 and status["ready"] is status["draining"] is False
    assert status["server"] == {"process": None, "restarts": 0} and status["turns"] is None
    assert status["stages"].keys() == {"stream_omni", "llm", "vocoder"} and status["recoveries"] == []


def test_its_own_metrics_are_those_of_the_table(admin: str, supervisor: Supervisor) -> None:
    supervisor._note("vocoder", "a test says so")
    with urllib.request.urlopen(f"http://{admin}/metrics") as page:
        assert page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = page.read().decode()
    families = [line.split(maxsplit=3)[2:] for line in text.splitlines() if line.startswith("# TYPE")]
    assert families == [[metric.name, metric.kind] for metric in SUPERVISOR_METRICS]
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values.pop(SUPERVISED_SECONDS.name)) > 0
    whats = ("llm", "stream_omni", "vocoder", "tritonserver")
    assert values == {
        READY.name: "0.0",
        **{f'{BROKEN.name}{{what="{what}"}}': str(float(what == "vocoder")) for what in whats},
        **{f'{RECOVERIES.name}{{what="{what}"}}': "0.0" for what in whats},
    }
    assert {*whats} <= {*BROKEN.labels["what"]} == {*RECOVERIES.labels["what"]}


def test_a_supervisor_that_does_not_come_by_does_not_live(admin: str, supervisor: Supervisor) -> None:
    supervisor._looked_s = time.monotonic()
    assert call(admin, "/live") == (200, {"live": True})
    supervisor._looked_s = time.monotonic() - 0.6
    assert call(admin, "/live") == (503, {"live": False})


def test_an_order_to_drain_ends_the_process_as_a_signal_does(admin: str, supervisor: Supervisor) -> None:
    got: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        assert call(admin, "/drain", "POST") == (202, {"draining": True})
        deadline_s = time.monotonic() + 10
        while not got and time.monotonic() < deadline_s:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert got == [signal.SIGTERM] and not supervisor.is_ready
    assert call(admin, "/status")[1]["draining"] is True


def test_no_web_page_and_no_wrong_call_drains(admin: str, supervisor: Supervisor) -> None:
    assert call(admin, "/drain", "POST", Origin="http://evil.example")[0] == 403
    paths = "there are GET /live, /ready, /status, /metrics and POST /leave, /drain"
    assert call(admin, "/drain") == (404, {"error": paths})
    assert call(admin, "/leave", "POST", Origin="http://evil.example")[0] == 403
    assert call(admin, "/else", "POST")[0] == 404
    assert not supervisor.status()["draining"] and not supervisor.status()["leaving"]


def test_a_port_that_is_taken_is_said(supervisor: Supervisor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(LaunchError, match="--admin-port"):
        AdminDoor(supervisor, "127.0.0.1", other.getsockname()[1], 1.0)
