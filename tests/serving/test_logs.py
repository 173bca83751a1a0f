"""What the log says of a turn: which, whose, how it ended and what it took; never what was said."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from stream_omni_client import StreamOmni

from stream_omni.serving.engine_link import EngineLink
from stream_omni.serving.errors import StageError
from stream_omni.serving.event_log import CONTENT, EventLines, log_event, trace_of
from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.log_lines import JsonLog, to_json
from stream_omni.serving.request_id import CURRENT, choose
from stream_omni.serving.stage_calls import StageCalls
from tests.serving.raw_client import Stream, tensors, tone

SECRET = "xylophone"  # the word that no log must hold
PATIENCE_S = 30.0  # lines are written after the client has its answer


def log_of(server: TritonServer) -> str:
    assert server._log is not None
    return Path(server._log.name).read_text(encoding="utf-8")


def line_of(server: TritonServer, request_id: str) -> dict[str, Any]:
    """Of the turn that is over."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        for line in log_of(server).splitlines():
            if line.startswith("{") and (found := json.loads(line)).get("request_id") == request_id:
                assert isinstance(found, dict)
                return found
        time.sleep(0.05)
    raise AssertionError(f"no line of {request_id}")


def test_a_turn_has_one_line_with_its_id_times_and_counts(server: TritonServer) -> None:
    with StreamOmni(server.grpc_url) as client, client.stream(audio=(tone(), 16_000), output="speech") as stream:
        for _ in stream:
            pass
    line = line_of(server, stream.request_id)
    assert line["event"] == "turn" and line["level"] == "info" and line["door"] == "stream_omni"
    assert (line["outcome"], line["reason"], line["key"]) == ("ok", None, "")
    assert line["mode"] == "speech_to_speech" and line["input_bytes"] >= 4 * 16_000
    assert 0 < line["first_transcript_ms"] <= line["first_text_ms"] < line["total_ms"]
    assert 0 <= line["waited_ms"] < line["first_audio_ms"] < line["total_ms"]
    assert line["question_units"] == 25 and line["speech_units"] > 0 and line["prompt_tokens"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert log_of(server).count(stream.request_id) == 1


def test_the_id_that_the_client_sends_comes_back(server: TritonServer) -> None:
    answered = Stream(server.grpc_url, {"text": "hi", "max_tokens": 2}, request_id="mine:7").finish()
    assert answered.detail["request_id"] == "mine:7"
    assert line_of(server, "mine:7")["outcome"] == "ok"
    with triton.InferenceServerClient(server.grpc_url) as client:
        whole = client.infer("turn", tensors({"text": "hi", "max_tokens": 2}), request_id="mine:8")
        unnamed = client.infer("turn", tensors({"text": "hi", "max_tokens": 2}))
    assert json.loads(whole.as_numpy("detail")[0])["request_id"] == "mine:8"
    made = json.loads(unnamed.as_numpy("detail")[0])["request_id"]
    line_of(server, made)
    doors = [json.loads(line)["door"] for line in log_of(server).splitlines() if made in line]
    assert doors in (["prepare"], ["prepare", "answer"])  # the second line may be yet to come


@pytest.mark.parametrize("sent", ["", "two words", "line\nbreak", "x" * 129, "schön"])
def test_who_sends_no_usable_id_is_told_one(server: TritonServer, sent: str) -> None:
    answered = Stream(server.grpc_url, {"text": "hi", "temperature": 9.0}, request_id=sent).finish()
    told = re.fullmatch(
        r"INVALID_ARGUMENT: temperature is 9; it can be 0 to 2 \(request (\w{16})\)", answered.error or ""
    )
    assert told is not None
    line = line_of(server, told[1])
    assert (line["outcome"], line["reason"], line["mode"]) == ("invalid", "INVALID_ARGUMENT", "unknown")


def test_the_log_holds_nothing_that_was_said(server: TritonServer) -> None:
    url = server.grpc_url
    history = json.dumps([{"role": "user", "text": SECRET}])
    turns: list[dict[str, Any]] = [
        {"text": SECRET, "system": SECRET, "history": history, "output": "speech", "max_audio_ms": 400},
        {"text": SECRET, "voice": SECRET},
        {"text": SECRET, "history": f'[{{"role": "{SECRET}", "text": ""}}]'},
        {"text": f"<image>{SECRET}"},
    ]
    for number, turn in enumerate(turns):
        Stream(url, turn, request_id=f"said-{number}").finish()
        line_of(server, f"said-{number}")
    assert SECRET not in log_of(server)


def test_calls_of_stages_carry_the_id_and_polls_carry_none() -> None:
    seen: dict[str, list[str | None]] = {"work": [], "llm": []}

    def infer(stage: str, inputs: Any, outputs: Any) -> Any:
        seen[stage].append(CURRENT.get())
        if stage == "llm" and inputs["op"][0] == 3:
            raise StageError(stage, "no engine here")
        return {name: np.zeros(0) for name in outputs}

    async def turn(calls: StageCalls, link: EngineLink, number: int) -> None:
        CURRENT.set(f"turn-{number}")
        await asyncio.gather(*(calls.call("work", {}, (), 30) for _ in range(3)))
        await link.start(number, {})
        await asyncio.sleep(0.1)
        await link.release(number)

    async def scene() -> None:
        calls = StageCalls(asyncio.get_running_loop(), infer)
        link = EngineLink("llm", calls)
        await asyncio.gather(*(asyncio.create_task(turn(calls, link, number)) for number in range(4)))
        link.stop()
        while link._polling is not None:  # a thread of it must not come back to a loop that is closed
            await asyncio.sleep(0.05)

    asyncio.run(scene())
    assert sorted(map(str, seen["work"])) == sorted([f"turn-{number}" for number in range(4)] * 3)
    polls = [request_id for request_id in seen["llm"] if request_id is None]
    assert polls and len(seen["llm"]) - len(polls) == 2 * 4  # each turn's START and CANCEL


def test_ids_that_cannot_be_written_anywhere_are_replaced() -> None:
    assert choose("a-1_b.c:d") == "a-1_b.c:d" and choose("x" * 128) == "x" * 128
    for sent in ("", "a b", "a\n", "ä", "x" * 129, "\x1b[31m"):
        assert re.fullmatch(r"[0-9a-f]{16}", choose(sent))


@pytest.mark.parametrize("is_wanted", [False, True])
def test_what_an_unforeseen_exception_says_may_be_content(monkeypatch: pytest.MonkeyPatch, is_wanted: bool) -> None:
    monkeypatch.setenv(CONTENT, "1" if is_wanted else "")
    try:
        int(SECRET)
    except ValueError as error:
        trace = trace_of(error)
    assert "ValueError" in trace and "test_logs.py" in trace and (SECRET in trace) == is_wanted


TRITON = '2026-11-26T01:59:17Z I 6239 grpc_server.cc:2558] "Started GRPCInferenceService at 127.0.0.1:46323"'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            TRITON,
            {"time": "2026-11-26T01:59:17Z", "level": "info", "event": "triton", "source": "grpc_server.cc:2558"}
            | {"message": "Started GRPCInferenceService at 127.0.0.1:46323"},
        ),
        ('2026-11-26T01:59:17Z E 1 model.py:9] "a "quoted" one"', {"level": "error", "message": 'a "quoted" one'}),
        ("+------+", {"level": "info", "event": "output", "message": "+------+"}),
        ('{"event": "turn"}', {"event": "turn"}),
        ("{no JSON", {"event": "output", "message": "{no JSON"}),
    ],
    ids=["triton", "error", "output", "event", "brace"],
)
def test_every_line_becomes_json(line: str, expected: dict[str, str]) -> None:
    assert json.loads(to_json(line)).items() >= expected.items()


def test_the_log_of_a_server_passes_through_as_json_lines(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as sink:
        log = JsonLog(sink.fileno())
        log.file.write(f"{TRITON}\n\nnot \xfftext\n".encode("latin-1") + b"the last, without an end")
        log.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["triton", "output", "output"]


def test_a_full_disk_costs_lines_and_holds_nobody_up() -> None:
    with Path("/dev/full").open("wb", buffering=0) as sink:
        log = JsonLog(sink.fileno())
        for _ in range(2000):  # far more than a pipe holds
            log.file.write(f"{TRITON}\n".encode())
        log.close()
        assert not log._thread.is_alive()


def test_an_event_that_cannot_be_written_is_no_error() -> None:
    kept = os.dup(2)
    try:
        with Path("/dev/full").open("wb") as full:
            os.dup2(full.fileno(), 2)
        log_event("turn", outcome="ok")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_what_the_supervisor_says_is_a_line_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.Logger("supervised", logging.WARNING)
    logger.addHandler(EventLines("supervisor"))
    logger.error("%s: its process ended", "vocoder")
    line = json.loads(capfd.readouterr().err)
    assert line.pop("time") and line == {
        "level": "error",
        "event": "supervisor",
        "message": "vocoder: its process ended",
    }
