"""Kills and stops of every process that serves, alone and under company, at every time of a turn."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_omni.serving.metrics import FRONT_DOOR, KV_SLOTS, STAGE_QUEUE_SECONDS, STAGE_SECONDS, UNARY_DOORS
from stream_omni.serving.stage_watch import PIPELINE, SERVER
from tests.faults.company import HTTP_BROKEN, NEEDS, OVER_HTTP, UNARY, Outcome, Turn
from tests.faults.conftest import COMPANY, EIGHT
from tests.faults.seen import Fault, slowness
from tests.faults.supervised import Supervised
from tests.serving.scrape import Scrape

pytestmark = pytest.mark.faults

PATIENCE_S = 600.0  # longer than anything that may happen; what is asserted is far less
RECOVERY_S, TELLING_S, FREEING_S = 5.0, 2.0, 3.0  # on a machine that does nothing else
ROUNDS = 3
WHEN = ("idle", "start", "middle", "end")
ENDS_THE_SERVER, BROKEN = (FRONT_DOOR, SERVER), ("gRPC UNAVAILABLE", "gRPC CANCELLED", HTTP_BROKEN)
STAGES = (*PIPELINE, *UNARY_DOORS)
Alone = dict[str, tuple[Outcome, dict[str, int]]]


@pytest.mark.parametrize("target", (FRONT_DOOR, *STAGES[: len(STAGES) // 2], SERVER, *STAGES[len(STAGES) // 2 :]))
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("again", range(ROUNDS))
def test_a_killed_process(serving: Supervised, alone: Alone, target: str, when: str, again: int) -> None:
    """With a front door or server everybody's stream breaks, so that nobody waits for ever. In rounds, because what
    was mended less than half a minute ago may be made to wait for its mend."""
    fault, outcomes = inject(serving, alone, "kill -9", target, when)
    everybody_is_hit = target in ENDS_THE_SERVER or fault.server_fell
    for outcome in outcomes:
        if not everybody_is_hit:
            assert outcome.ending == "done" or target in NEEDS[outcome.kind], outcome
        told = () if target in ENDS_THE_SERVER else ("INTERNAL",)
        assert outcome.ending in ("done", *told, *(BROKEN if everybody_is_hit else ())), outcome
    check(fault)


@pytest.mark.parametrize("target", ["llm", "speech_top", "vocoder", FRONT_DOOR])
def test_a_process_that_hangs(serving: Supervised, alone: Alone, target: str) -> None:
    fault, outcomes = inject(serving, alone, "kill -STOP", target, "middle")
    for outcome in outcomes:
        assert outcome.ending in ("done", "INTERNAL", *BROKEN), outcome.ending
    check(fault)


@pytest.mark.parametrize("how", ["kill -9", "kill -STOP"])
@pytest.mark.parametrize("door", UNARY_DOORS)
def test_a_door_of_the_unary_turn_with_a_call_in_it(serving: Supervised, alone: Alone, door: str, how: str) -> None:
    """Its client waits without a deadline, beside one that streams: both are told."""
    fault = Fault(how, door, "a unary call in it", slowness(), streams=1)
    call = Turn(serving.grpc_url, {"prepare": "whole pictures", "answer": "whole endless"}[door])
    if door == "answer":
        until(lambda: Scrape(serving.metrics_url)(KV_SLOTS, stage="speech_top", state="used") == 1)
    until(lambda: serving.status()["turns"]["running"] == 1)
    stream = Turn(serving.grpc_url, "endless")
    stream.wait_for(lambda heard: heard.get("audio", 0) >= (door == "answer"), PATIENCE_S)
    outcomes = break_it(serving, alone, fault, [call, stream])
    assert {outcome.ending for outcome in outcomes} <= set(BROKEN), outcomes
    check(fault, server_is_replaced=True)


CALLED = {  # a turn that calls the stage, and what it calls before
    "speech_tokenizer": ("listen", None),
    "vision_encoder": ("picture", None),
    "speech_bottom": ("listen", "speech_tokenizer"),
    "cosyvoice_flow": ("speak", "speech_top"),
    "vocoder": ("speak", "cosyvoice_flow"),
}
MOMENT_S, LONGEST_MOMENT_S = 0.2, 0.5  # until the stage is called; after a second Triton itself gives it up


@pytest.mark.parametrize("how", ["kill -9", "kill -STOP"])
@pytest.mark.parametrize("stage", CALLED)
def test_a_stage_with_a_call_in_it(serving: Supervised, alone: Alone, stage: str, how: str) -> None:
    """It is stopped before, so that the call is in it for certain; the turn beside it does not need it."""
    fault, (kind, former) = Fault(how, stage, "a call in it", slowness(), streams=2), CALLED[stage]
    done_before = done_by(serving, former)
    os.kill(serving.processes()[stage], signal.SIGSTOP)
    stopped_s = time.monotonic()
    turns = [Turn(serving.grpc_url, kind), Turn(serving.grpc_url, "text")]
    until(lambda: done_by(serving, former) > done_before)
    if how == "kill -9":
        time.sleep(min(MOMENT_S * fault.slowness, LONGEST_MOMENT_S))
    called, beside = break_it(serving, alone, fault, turns, stopped_s if how == "kill -STOP" else None)
    named = f"({stage}|token2wav)" if former in ("speech_top", "cosyvoice_flow") else stage  # Triton names the ensemble
    assert fault.server_fell or re.fullmatch(f"INTERNAL: the stage {named} failed; send the turn again", called.message)
    assert called.ending == "INTERNAL" or (fault.server_fell and called.ending in BROKEN), called
    assert fault.server_fell or beside.ending == "done", beside
    check(fault)


def done_by(serving: Supervised, stage: str | None) -> float:
    """Pieces of work; None: turns that were let in, ever."""
    page = Scrape(serving.metrics_url)
    if stage is None:
        return page.total(STAGE_QUEUE_SECONDS, "_count", stage=FRONT_DOOR)
    return page.total(STAGE_SECONDS, "_count", stage=stage)


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def inject(serving: Supervised, alone: Alone, how: str, target: str, when: str) -> tuple[Fault, list[Outcome]]:
    """Of an idle server, or under eight streams and, where its own doors live, a unary turn."""
    kinds = () if when == "idle" else EIGHT if target in UNARY_DOORS else (*EIGHT, "whole")
    fault = Fault(how, target, when, slowness(), streams=len(EIGHT) if kinds else 0)
    turns = [Turn.at(serving, kind) for kind in kinds]
    needing = [turn for turn in turns if target in NEEDS[turn.outcome.kind]]
    for turn in (needing or turns)[:1]:  # the one whose turn it hits; the others are where they are then
        wait_until(when, turn, alone)
    return fault, break_it(serving, alone, fault, turns)


def break_it(
    serving: Supervised, alone: Alone, fault: Fault, turns: list[Turn], broken_s: float | None = None
) -> list[Outcome]:
    """See what the clients of ``turns`` see, wait until all is well, and write it down. ``broken_s``: since when it is
    so already."""
    how, target = fault.fault, fault.target
    process, before = serving.processes()[target], serving.recoveries()
    injected_s = broken_s or time.monotonic()
    os.kill(process, signal.SIGSTOP if how == "kill -STOP" else signal.SIGKILL)
    outcomes = [turn.finish(PATIENCE_S) for turn in turns]
    fault.slowness = max(fault.slowness, slowness())
    recoveries = serving.wait_for_recovery(before)
    afterwards = [Turn(serving.grpc_url, kind).finish(PATIENCE_S) for kind in COMPANY]
    if any(outcome.ending.startswith("gRPC") for outcome in afterwards):  # an abort prints for seconds before it ends
        recoveries += serving.wait_for_recovery(before + recoveries)
        afterwards = [Turn(serving.grpc_url, kind).finish(PATIENCE_S) for kind in COMPANY]
    ends_the_server = target in ENDS_THE_SERVER or (target in UNARY_DOORS and is_in_door(turns))
    fault.server_fell = not ends_the_server and SERVER in {recovery["what"] for recovery in recoveries}
    fault.see(recoveries, injected_s)
    fault.hear(outcomes, injected_s)
    fault.slowness = max(fault.slowness, slowness())
    fault.leaked = left_in_use(serving, FREEING_S * fault.slowness)
    fault.orphans = len(serving.orphans())
    answers = [outcome for outcome in outcomes if outcome.ending == "done"] + afterwards
    fault.wrong = sum(answer.content != alone[answer.kind][0].content for answer in answers)
    fault.keep()
    assert [answer.ending for answer in afterwards] == ["done"] * len(COMPANY)
    return outcomes


def is_in_door(turns: list[Turn]) -> bool:
    return any(turn.outcome.kind in UNARY for turn in turns)


def wait_until(when: str, turn: Turn, alone: Alone) -> None:
    """A turn is at the wanted point, or over."""
    _, events = alone[turn.outcome.kind]
    kind = "audio" if "audio" in events else "text"
    wanted = {"start": 0, "middle": 2, "end": events[kind] - 1}[when]
    turn.wait_for(lambda heard: heard.get(kind, 0) >= wanted, PATIENCE_S)


def retry_after_ms(outcome: Outcome) -> int:
    hint = re.search(r"retry_after_ms=(\d+)", outcome.message)
    assert hint is not None, outcome
    return int(hint[1])


def left_in_use(serving: Supervised, within_s: float) -> float:
    deadline_s = time.monotonic() + within_s
    while (left := Scrape(serving.metrics_url).in_use) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return left


def check(fault: Fault, server_is_replaced: bool = False) -> None:
    assert fault.lost_nothing, fault
    assert fault.noticed_s is not None and fault.recovered_s is not None
    server_is_replaced |= fault.target in ENDS_THE_SERVER or fault.server_fell
    if not server_is_replaced:  # a whole start takes what the checkpoint takes
        assert fault.recovered_s - fault.noticed_s <= RECOVERY_S * fault.slowness, fault
    if fault.fault == "kill -9":
        assert fault.noticed_s <= 1.0 * fault.slowness, fault
    if fault.told_after_notice_s is not None:
        assert fault.told_after_notice_s <= TELLING_S * fault.slowness, fault


def test_a_killed_supervisor_leaves_nothing(built_directory: Path, tmp_path: Path, alone: Alone) -> None:
    """Not even a stage that is stopped, nor shared memory."""
    with Supervised(built_directory, tmp_path / "log", drain_timeout_s=2) as serving:
        processes, fault = serving.processes(), Fault("kill -9", "supervisor", "middle", slowness())
        regions = regions_of(processes[SERVER])
        assert len(in_shared_memory(regions)) > 0
        turn = Turn(serving.grpc_url, "endless")
        turn.wait_for(lambda heard: heard.get("audio", 0) >= 1, PATIENCE_S)
        os.kill(processes["vision_encoder"], signal.SIGSTOP)
        injected_s = time.monotonic()
        serving.process.kill()
        outcome = turn.finish(PATIENCE_S)
        serving.wait_until_nothing_is_left(30 * fault.slowness)
        fault.hear([outcome], injected_s)
        while in_shared_memory(regions):
            assert time.monotonic() - injected_s < 60 * fault.slowness
            time.sleep(0.1)
        lose(fault, serving, regions, [], alone, built_directory)
    assert outcome.ending.startswith("gRPC ") or outcome.ending == "INTERNAL"
    assert fault.lost_nothing, fault


def regions_of(server: int) -> str:
    """How the names of its shared memory begin."""
    found = re.search(r"shm-region-prefix-name=(\w+)", Path(f"/proc/{server}/cmdline").read_text())
    assert found is not None
    return found[1]


def in_shared_memory(regions: str) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{regions}*"))


def lose(
    fault: Fault, serving: Supervised, regions: str, outcomes: list[Outcome], alone: Alone, built_directory: Path
) -> None:
    """See and write down what a server that is gone has left, and whether the next one answers as ever."""
    fault.leaked, fault.orphans = len(in_shared_memory(regions)), len(serving.orphans())
    with Supervised(built_directory, Path(os.devnull)) as successor:
        afterwards = [Turn(successor.grpc_url, kind).finish(PATIENCE_S) for kind in COMPANY]
    answers = [outcome for outcome in outcomes if outcome.ending == "done"] + afterwards
    fault.wrong = sum(answer.content != alone[answer.kind][0].content for answer in answers)
    fault.keep()


@pytest.mark.parametrize("order", ["SIGTERM", "POST /drain"])
def test_the_end_under_load(built_directory: Path, tmp_path: Path, alone: Alone, order: str) -> None:
    drain_s = 8
    with Supervised(built_directory, tmp_path / "log", drain_timeout_s=drain_s, http_port=0) as serving:
        fault, regions = Fault(order, "supervisor", "middle", slowness()), regions_of(serving.processes()[SERVER])
        turns = [Turn.at(serving, kind) for kind in ("endless", "text", "speak", *OVER_HTTP)]
        turns[0].wait_for(lambda heard: heard.get("audio", 0) >= 1, PATIENCE_S)
        injected_s = time.monotonic()
        serving.process.terminate() if order == "SIGTERM" else serving.order_drain()
        while serving.is_ready():
            assert time.monotonic() - injected_s < fault.slowness
        time.sleep(0.3)
        refused = Turn(serving.grpc_url, "text").finish(PATIENCE_S)
        outcomes = [turn.finish(PATIENCE_S) for turn in turns]
        code = serving.process.wait(PATIENCE_S)
        fault.hear(outcomes, injected_s)
        lose(fault, serving, regions, outcomes, alone, built_directory)
    assert code == 0 and fault.lost_nothing, fault
    assert re.match(r"DRAINING retry_after_ms=\d+: the server is about to stop; send the turn to", refused.message)
    assert 1000 <= retry_after_ms(refused) <= 1000 * drain_s
    assert outcomes[0].ending == "DRAINING" and {outcome.ending for outcome in outcomes[1:]} <= {"done", "DRAINING"}
    assert fault.told_s is not None and drain_s <= fault.told_s <= drain_s + TELLING_S * fault.slowness
