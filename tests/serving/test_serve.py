"""``stream-omni serve`` from its start to a Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.serving.raw_client import ask
from tests.serving.test_launcher import wait_until_gone

SERVE = [sys.executable, "-c", "from stream_omni_client.command import main; raise SystemExit(main())", "serve"]


def test_it_says_ready_when_it_is_and_leaves_nothing(built_directory: Path, tmp_path: Path) -> None:
    command = [*SERVE, "--repository", str(built_directory), "--drain-timeout-s", "3"]
    with (tmp_path / "log").open("w") as log:
        serving = subprocess.Popen(
            [*command, "--log-format", "json", "--log-content"], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert serving.stdout is not None
    said = []
    while not said or said[-1] != "ready":
        line = serving.stdout.readline()
        assert line, "it ended before it was ready"
        said.append(line.strip())
    doors = [re.fullmatch(r"(gRPC|HTTP|metrics) +(127\.0\.0\.1:\d+)", line) for line in said[-4:-1]]
    assert [door and door[1] for door in doors] == ["gRPC", "HTTP", "metrics"]
    assert doors[0] is not None
    answered = ask(doors[0][2], text="hi", max_tokens=2)
    assert answered.error is None
    server = int(subprocess.check_output(["pgrep", "-P", str(serving.pid)], text=True).split()[0])
    serving.send_signal(signal.SIGINT)
    rest, _ = serving.communicate(timeout=20)
    assert serving.returncode == 0 and "draining" in rest
    wait_until_gone(server, 0.5)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert {"turn", "triton"} <= {line["event"] for line in lines}
    (turn,) = (line for line in lines if line.get("request_id") == answered.detail["request_id"])
    assert turn["text"] == answered.joined("text")  # for it was asked for


def test_a_wrong_directory_is_a_sentence(tmp_path: Path) -> None:
    ended = subprocess.run([*SERVE, "--repository", str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("stream-omni serve: ") and "stream-omni build" in ended.stderr
