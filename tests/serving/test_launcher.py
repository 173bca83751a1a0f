"""The launcher on a repository of one trivial model: endpoints, errors, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton

from stream_omni.serving.launcher import LaunchError, TritonServer
from tests.sockets import LISTENING, tcp_sockets

CONFIG = """
backend: "python"
max_batch_size: 0
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU count: 2 } ]
"""
MODEL = """
import triton_python_backend_utils as pb
import stream_omni.model_info  # the library can be imported wherever the server was started
class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("y", r.inputs()[0].as_numpy() * 2)]) for r in requests]
"""
# Prints the server's process id, then waits to be killed.
LAUNCH = """
import sys, time
from pathlib import Path
from stream_omni.serving.launcher import TritonServer
with TritonServer(Path(sys.argv[1]), probe=lambda url, timeout_s: None, drain_timeout_s=3) as server:
    print(server.process.pid, server._regions, server._scratch, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "double" / "1").mkdir(parents=True)
    (folder / "double" / "config.pbtxt").write_text(CONFIG)
    (folder / "double" / "1" / "model.py").write_text(MODEL)
    return folder


def probe(url: str, timeout_s: float) -> None:
    with triton.InferenceServerClient(url) as client:
        if not client.is_server_ready():
            raise ConnectionError("not ready")


def group(number: int) -> list[int]:
    """Processes of a process group, zombies left out."""
    found = subprocess.run(["ps", "-o", "pid=,pgid=,stat=", "-e"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in found.splitlines()]
    return [int(pid) for pid, pgid, state in rows if int(pgid) == number and not state.startswith("Z")]


def wait_until_gone(number: int, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while group(number):
        assert time.monotonic() < deadline_s, group(number)
        time.sleep(0.1)


def test_it_starts_says_where_it_listens_and_ends(repository: Path) -> None:
    with TritonServer(repository, probe=probe) as server:
        assert server.process is not None and server.exit_code() is None
        number = server.process.pid
        assert len(group(number)) == 3
        with urllib.request.urlopen(f"http://{server.metrics_url}/metrics") as page:
            assert b"nv_inference_count" in page.read()
        assert server.http_url is None and len(listening(number)) == 2
    assert not group(number)
    assert not list(Path("/dev/shm").glob(f"{server._regions}*"))
    server.stop()


def listening(number: int) -> set[str]:
    """Addresses at which a process waits for connections, in the kernel's hexadecimal digits, of IPv4."""
    return {each.local[-len("00000000:0000") :] for each in tcp_sockets(number, LISTENING)}


def test_tritons_http_opens_only_when_told_to_and_on_this_machine(repository: Path) -> None:
    """Whoever reaches it can crash this tritonserver (docs/decisions/0027-tritons-http-is-closed.md)."""
    with TritonServer(repository, host="0.0.0.0", http_port=0, probe=probe) as server:
        assert server.process is not None and server.http_url is not None
        host, _, port = server.http_url.rpartition(":")
        assert host == "127.0.0.1"
        with urllib.request.urlopen(f"http://{server.http_url}/v2/health/ready") as page:
            assert page.status == 200
        loopback, everywhere = "0100007F", "00000000"
        found = sorted(address.partition(":")[0] for address in listening(server.process.pid))
        assert found == sorted([loopback, everywhere, everywhere])
        assert f"{loopback}:{int(port):04X}" in listening(server.process.pid)


def test_given_ports_are_used(repository: Path) -> None:
    with TritonServer(repository, probe=probe) as server:
        port = int(server.grpc_url.rpartition(":")[2])
    with TritonServer(repository, probe=probe, grpc_port=port) as server:
        assert server.grpc_url == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ({"host": "nowhere.invalid"}, "nowhere.invalid is no IPv4 address"),
        ({"host": "::1"}, "::1 is no IPv4 address"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1, port 0"),
        ({"grpc_port": 99_999}, "cannot listen on 127.0.0.1, port 99999"),
        ({"grpc_port": -1}, "cannot listen on 127.0.0.1, port -1"),
    ],
    ids=str,
)
def test_where_nobody_can_listen(repository: Path, where: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LaunchError, match=sentence):
        TritonServer(repository, **where)


def test_ports_that_are_taken_or_named_twice(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(LaunchError, match=f"port {taken}: .*in use"):
            TritonServer(repository, http_port=taken)
    with pytest.raises(LaunchError, match=f"port {taken}: .*in use"):
        TritonServer(repository, grpc_port=taken, http_port=taken)


def test_a_host_may_be_a_name(repository: Path) -> None:
    with TritonServer(repository, host="localhost", probe=probe) as server:
        assert server.grpc_url.startswith("127.0.0.1:") and server.metrics_url.startswith("127.0.0.1:")


def test_a_broken_model_is_said_at_once(repository: Path) -> None:
    (repository / "double" / "1" / "model.py").write_text("import missing_module")
    with pytest.raises(LaunchError, match="ended with code 1 while starting"):
        TritonServer(repository, probe=probe).start()


def test_a_server_that_answers_no_turn_is_not_ready(repository: Path) -> None:
    """The default probe wants a turn; this repository has no front door."""
    server = TritonServer(repository, ready_timeout_s=6)
    with pytest.raises(LaunchError, match=r"not ready after 6 s: .*stream_omni"):
        server.start()
    assert server.exit_code() is None and server.process is None


def test_a_directory_without_models(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="holds no model repository; make one with: stream-omni build"):
        TritonServer(tmp_path)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_with_its_launcher(repository: Path, end: signal.Signals) -> None:
    """Processes that are stopped too, which no signal but the last one reaches; and no file stays."""
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCH, str(repository)], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    number, regions, scratch = launcher.stdout.readline().split()
    stub = next(process for process in group(int(number)) if process != int(number))
    os.kill(stub, signal.SIGSTOP)
    launcher.send_signal(end)
    launcher.wait(15)
    wait_until_gone(int(number), 15)
    deadline_s = time.monotonic() + 15
    while Path(scratch).exists() or list(Path("/dev/shm").glob(f"{regions}*")):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def test_a_stopped_server_is_started_again_where_it_was(repository: Path) -> None:
    server = TritonServer(repository, probe=probe)
    urls, words = set(), set()
    for _ in range(2):
        with server:
            urls.add(server.grpc_url)
            words |= {server.stage_secret.word, server._management._key}
            probe(server.grpc_url, 5)
            server.reload("double")
            assert server.process is not None
            told = Path(f"/proc/{server.process.pid}/environ").read_bytes()
            assert server.stage_secret.word.encode() in told
    assert len(urls) == 1
    assert len(words) == 4, "a word of a former start is of no use"


def test_a_killed_server_leaves_no_stubs(repository: Path) -> None:
    with TritonServer(repository, probe=probe) as server:
        assert server.process is not None
        number = server.process.pid
        os.kill(number, signal.SIGKILL)
    assert not group(number)


def test_an_unfinished_build_is_not_served(repository: Path) -> None:
    (repository.parent / "graphs").mkdir()
    with pytest.raises(LaunchError, match=r"is no complete build; run again: stream-omni build"):
        TritonServer(repository)
    (repository.parent / "manifest.json").write_text("{}")
    assert TritonServer(repository).repository == repository
