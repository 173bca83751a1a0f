"""Stages whose networks give NaN, a wrong shape, or raise: an error that names the stage, and never a wrong answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import NONFINITE
from tests.faults.company import NEEDS, Outcome, Turn
from tests.faults.conftest import COMPANY
from tests.faults.seen import Fault, slowness
from tests.faults.spoiler import NAN, RAISES, REFUSES, SHAPE, Spoiler
from tests.faults.test_faults import FREEING_S, PATIENCE_S, left_in_use
from tests.serving.scrape import Scrape
from tests.serving.test_launcher import group

pytestmark = pytest.mark.faults

SHORT: dict[str, Any] = {"max_audio_ms": 2000, "max_tokens": 30}
STAGES = {  # whose process runs the graph
    "speech_tokenizer": "speech_tokenizer",
    "vision_encoder": "vision_encoder",
    "speech_bottom": "speech_bottom",
    "llm": "llm",
    "speech_bottom_step": "speech_top",
    "speech_top": "speech_top",
    "flow_encoder": "cosyvoice_flow",
    "flow_estimator": "cosyvoice_flow",
    "f0_predictor": "vocoder",
    "vocoder": "vocoder",
}
CASES = [(graph, how) for graph in STAGES for how in (NAN, SHAPE, RAISES, REFUSES)]
CASES.remove(("speech_tokenizer", NAN))  # it gives whole numbers only


@pytest.fixture(scope="module")
def spoiler(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Spoiler:
    return Spoiler(built_directory, tmp_path_factory.mktemp("spoiled"))


@pytest.fixture(scope="module")
def spoiled(spoiler: Spoiler, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("w") as file, TritonServer(spoiler.spoiled, log=file, drain_timeout_s=3) as running:
        ask_all(running, "warm up")  # what is read aloud begins always alike, and speech_bottom reads it only once
        yield running


@pytest.mark.parametrize(("graph", "how"), CASES)
def test_a_network_that_gives_something_wrong(
    server: TritonServer, spoiled: TritonServer, spoiler: Spoiler, graph: str, how: str
) -> None:
    """A system prompt of its own for each fault: what is kept of shared beginnings must not be spoiled either."""
    system = f"{graph} {how}"
    right = {outcome.kind: outcome for outcome in ask_all(server, system)}
    fault, stage = Fault(how, STAGES[graph], "of " + graph, slowness()), STAGES[graph]
    needing = {kind for kind in COMPANY if stage in NEEDS[kind] and not is_spared(stage, right[kind])}
    before, processes = Scrape(spoiled.metrics_url), running(spoiled)
    spoiler.start(graph, how)
    injected_s = time.monotonic()
    try:
        outcomes = ask_all(spoiled, system)
    finally:
        spoiler.stop()
    fault.hear(outcomes, injected_s)
    fault.leaked = left_in_use(spoiled, FREEING_S * fault.slowness)
    afterwards = ask_all(spoiled, system)
    answers = [outcome for outcome in outcomes if outcome.ending == "done"] + afterwards
    fault.wrong = sum(answer.content != right[answer.kind].content for answer in answers)
    fault.orphans = len(running(spoiled) - processes)
    fault.keep()
    failed = {outcome.kind: outcome.message for outcome in outcomes if outcome.ending != "done"}
    assert failed == dict.fromkeys(needing, f"INTERNAL: the stage {stage} failed; send the turn again")
    lost = Scrape(spoiled.metrics_url).total(NONFINITE, stage=stage) - before.total(NONFINITE, stage=stage)
    assert lost == (len(needing) if how == NAN else 0)
    assert [outcome.ending for outcome in afterwards] == ["done"] * len(COMPANY)
    assert fault.lost_nothing and running(spoiled) == processes, fault


def running(server: TritonServer) -> set[int]:
    assert server.process is not None
    return set(group(server.process.pid))


def is_spared(stage: str, outcome: Outcome) -> bool:
    """Whether the turn needs the stage, but not this time: what it reads aloud begins as in all turns, and was read; a
    random checkpoint's answer may end before it has said anything."""
    is_silent = not outcome.content["samples"] and stage in ("cosyvoice_flow", "vocoder")
    return is_silent or (stage == "speech_bottom" and outcome.kind == "speak")


def ask_all(server: TritonServer, system: str) -> list[Outcome]:
    shown = {"text": {"system": system}, "question": {"system": system}, "speak": {}}  # which has no use for one
    turns = [Turn(server.grpc_url, kind, **SHORT, **shown[kind]) for kind in COMPANY]
    return [turn.finish(PATIENCE_S) for turn in turns]
