"""The command line, as a shell sees it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stream_omni_client.command import COMMANDS

from tests.client.conftest import heard_on

RUN = [sys.executable, "-c", "import sys; from stream_omni_client.command import main; sys.exit(main())"]


def stream_omni(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, cwd=cwd, timeout=30)


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "question.wav"
    soundfile.write(path, np.zeros(1600), 16000)
    return str(path)


def test_help_has_a_line_for_every_command() -> None:
    done = stream_omni("--help")
    assert done.returncode == 0
    for name, command in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert command.help in done.stdout


def test_version() -> None:
    assert stream_omni("--version").stdout.startswith("stream-omni ")


def test_an_unknown_command_is_named() -> None:
    done = stream_omni("sing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'sing'" in done.stderr


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    hidden = tmp_path / "torch.py"
    hidden.write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); " + RUN[2]
    done = subprocess.run([sys.executable, "-c", script, "replay"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "stream-omni replay needs torch" in done.stderr
    assert 'pip install "stream-omni[build]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_ask_writes_the_answer_to_stdout_and_the_rest_to_stderr(protocol_url: str, wav: str, tmp_path: Path) -> None:
    out = tmp_path / "answer.wav"
    done = stream_omni("ask", "--audio", wav, "--out", str(out), "--url", protocol_url)
    assert (done.returncode, done.stdout) == (0, "Grüße, 世界\n")
    assert "heard: what is this\n" in done.stderr
    assert f"{out}: 0.40 s at 22050 Hz" in done.stderr
    assert "server" in done.stderr and "client" in done.stderr
    assert len(soundfile.read(out)[0]) == 8820


def test_ask_speech_without_a_name_writes_answer_wav(protocol_url: str, tmp_path: Path) -> None:
    done = stream_omni("ask", "--text", "hello", "--output", "speech", "--url", protocol_url, cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "answer.wav").exists()


def test_ask_json_is_one_object_per_event(protocol_url: str, wav: str, tmp_path: Path) -> None:
    done = stream_omni("ask", "--audio", wav, "--out", str(tmp_path / "a.wav"), "--json", "--url", protocol_url)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = ["transcript", "transcript", "text", "audio", "text", "audio", "done"]
    assert [event["event"] for event in events] == kinds
    assert [event["seq"] for event in events] == list(range(7))
    assert (events[3]["samples"], events[3]["marks"]) == (4410, [[0, 5, 0], [7, 9, 200]])
    assert events[-1]["text"] == "Grüße, 世界"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--text", "break"], 1, "the stage llm is gone"),
        (["--text", "refuse INVALID_ARG INVALID_ARGUMENT: The text is bad."], 2, "The text is bad."),
        (["--audio", "absent.wav"], 2, "absent.wav"),
        (["--text", "hello", "--url", "127.0.0.1:1"], 3, "127.0.0.1:1"),
        (["--text", "endless", "--timeout", "0.3"], 4, "not over after 0.3 s"),
        (["--text", "refuse UNAVAILABLE OVERLOADED retry_after_ms=20000: Full."], 5, "Full. (try again in 20 s)"),
        (["--text", "refuse INVALID_ARG UNAUTHENTICATED: Who are you?"], 6, "Who are you?"),
    ],
)
def test_failures_are_one_line_and_a_code(protocol_url: str, arguments: list[str], code: int, message: str) -> None:
    done = stream_omni("ask", "--url", protocol_url, *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_wrong_options_are_told() -> None:
    assert stream_omni("ask").returncode == 2
    assert stream_omni("ask", "--text", "a", "--audio", "b").returncode == 2
    assert "--out is for speech" in stream_omni("ask", "--text", "a", "--output", "text", "--out", "a.wav").stderr
    assert "--out must end in one of .wav" in stream_omni("ask", "--text", "a", "--out", "a.xyz").stderr
    assert "there is no folder /nowhere" in stream_omni("ask", "--text", "a", "--out", "/nowhere/a.wav").stderr


def test_ctrl_c_ends_at_once(protocol_url: str) -> None:
    process = subprocess.Popen([*RUN, "ask", "--text", "endless", "--url", protocol_url], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(5) == 130
    process.stdout.close()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["voices"], ["ask", "--text", "endless"], ["ask", "--text", "endless", "--json"]],
    ids=" ".join,
)
def test_a_pipe_whose_reader_has_ended_is_no_failure_to_talk_about(protocol_url: str, arguments: list[str]) -> None:
    where = [] if "--help" in arguments else ["--url", protocol_url]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen([*RUN, *arguments, *where], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    _, told = process.communicate(timeout=10)
    assert (process.returncode, told) == (141, "")


def test_ask_plays_the_answer(protocol_url: str, tape: Path) -> None:
    done = stream_omni("ask", "--text", "hello", "--play", "--url", protocol_url, cwd=tape)
    assert (done.returncode, done.stdout) == (0, "Grüße, 世界\n")
    assert heard_on(tape).tolist() == [*range(1, 8820)]
    assert not (tape / "answer.wav").exists()


def test_transcribe_writes_a_line_for_each_file(protocol_url: str, wav: str) -> None:
    done = stream_omni("transcribe", wav, wav, "--url", protocol_url)
    assert (done.returncode, done.stdout) == (0, "what is this\n" * 2)
    assert done.stderr.count(f"{wav}: after ") == 2
    events = stream_omni("transcribe", wav, "--json", "--url", protocol_url).stdout.splitlines()
    assert [json.loads(line)["event"] for line in events] == ["transcript", "transcript", "done"]
    assert json.loads(events[0])["file"] == wav
    assert stream_omni("transcribe", wav, "absent.wav", "--url", protocol_url).returncode == 2


def test_bench_counts_and_times(protocol_url: str, wav: str) -> None:
    few = ["--turns", "6", "--concurrency", "3", "--url", protocol_url]
    done = stream_omni("bench", "--audio", wav, "--output", "speech", "--json", *few)
    result = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (result["turns"], result["failed"], result["concurrency"]) == (6, 0, 3)
    least, most = (6 * 0.4 / (result["wall_s"] + half_ms) for half_ms in (0.0005, -0.0005))  # it is rounded
    assert least - 0.001 < result["speech_s_per_s"] < most + 0.001
    for name in ("transcript", "text", "audio", "whole"):
        assert 0 < result["ms"][name]["p50"] <= result["ms"][name]["p95"]
    shown = stream_omni("bench", *few).stdout.splitlines()
    assert shown[0].startswith("6 turns, 3 at a time, in ")
    assert shown[2].split() == ["first", "transcript", "-", "-"]
    assert [line.rpartition(" ")[0].split()[-1].isdecimal() for line in shown[3:]] == [True, False, True]


def test_bench_tells_what_failed(protocol_url: str) -> None:
    question = f"every 2 {secrets.token_hex(4)}"
    done = stream_omni("bench", "--text", question, "--url", protocol_url, "--turns", "5")
    assert done.returncode == 5
    assert "3 of 5 turns failed: Overloaded: not this time" in done.stderr  # one more has come before, to warm up
    assert done.stdout.startswith("2 turns, ")


def test_the_server_may_be_named_by_the_environment(protocol_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_OMNI_URL", protocol_url)
    assert stream_omni("voices").stdout == "default\n英文女\n"
    assert protocol_url in stream_omni("health").stdout
    assert stream_omni("health", "--url", "127.0.0.1:1").returncode == 3


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if "client" in command.module])
def test_help_teaches_by_examples(name: str) -> None:
    done = stream_omni(name, "--help")
    assert done.returncode == 0
    assert f"\nexamples:\n  stream-omni {name}" in done.stdout
    assert "exit codes: 0 done" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_voices_and_health(protocol_url: str) -> None:
    assert json.loads(stream_omni("voices", "--json", "--url", protocol_url).stdout) == ["default", "英文女"]
    assert json.loads(stream_omni("health", "--json", "--url", protocol_url).stdout)["total_ms"] > 0
    assert stream_omni("voices", "--url", protocol_url).stdout == "default\n英文女\n"
    healthy = stream_omni("health", "--url", protocol_url)
    assert (healthy.returncode, "answers" in healthy.stdout) == (0, True)
    assert stream_omni("health", "--url", "127.0.0.1:1").returncode == 3
