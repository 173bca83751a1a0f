"""``stream-omni serve`` from its start to a Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from stream_omni.serving.metrics import DRAIN_RATIO
from tests.serving.raw_client import Stream, ask
from tests.serving.scrape import Scrape
from tests.serving.test_admin import call
from tests.serving.test_launcher import wait_until_gone

SERVE = [sys.executable, "-c", "from stream_omni_client.command import main; raise SystemExit(main())", "serve"]


def test_it_says_ready_when_it_is_drains_and_leaves_nothing(built_directory: Path, tmp_path: Path) -> None:
    command = [*SERVE, "--repository", str(built_directory), "--drain-timeout-s", "4"]
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
    doors = dict(re.fullmatch(r"(admin|gRPC|HTTP|metrics) +(127\.0\.0\.1:\d+)", line).groups() for line in said[-4:-1])
    assert [*doors] == ["admin", "gRPC", "metrics"]
    url, admin = doors["gRPC"], doors["admin"]
    answered = ask(url, text="hi", max_tokens=2)
    assert answered.error is None
    assert call(admin, "/ready") == (200, {"ready": True})
    long = Stream(url, {"text": "again", "task": "speak", "max_audio_ms": 163_000})
    assert not isinstance(long.next(), str)
    assert call(admin, "/status")[1]["turns"] == {"running": 1, "waiting": 0}
    server = int(subprocess.check_output(["pgrep", "-P", str(serving.pid)], text=True).split()[0])
    serving.send_signal(signal.SIGINT)
    assert serving.stdout.readline() == "draining\n"
    time.sleep(0.3)
    assert call(admin, "/ready") == (503, {"ready": False})
    refused = ask(url, text="hi", max_tokens=2).error
    assert re.match(
        r"DRAINING retry_after_ms=\d+: the server is about to stop; send the turn to another", refused or ""
    )
    assert 0 < Scrape(doors["metrics"])(DRAIN_RATIO) < 1
    cut = long.finish()
    assert re.match(r"DRAINING retry_after_ms=2000: the server stops and could wait no longer", cut.error or "")
    serving.communicate(timeout=20)
    assert serving.returncode == 0
    wait_until_gone(server, 0.5)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert {"turn", "triton"} <= {line["event"] for line in lines}
    turns = [line for line in lines if line["event"] == "turn"]
    mine = [line for line in turns if line["request_id"] == answered.detail["request_id"]]
    turn, refused_turn, cut_turn = sorted(mine, key=lambda line: line["outcome"] != "ok")
    assert refused_turn["reason"] == cut_turn["reason"] == "DRAINING"
    assert turn["text"] == answered.joined("text")  # for it was asked for


def test_a_wrong_directory_is_a_sentence(tmp_path: Path) -> None:
    ended = subprocess.run([*SERVE, "--repository", str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("stream-omni serve: ") and "stream-omni build" in ended.stderr
