"""Engines on screened heads make the ids of whole heads, which are computed where screening is not certain."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from stream_omni_build.export import write_graphs
from stream_omni_build.progress import silent

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.screened import ScreenedSession, TwoBest
from stream_omni.speech_engine import SpeechEngine
from stream_omni.text_engine import TextEngine, TextRequest
from tests.recorded_turns import drive, speakable, spoken_case

NAMES = ("s2s", "t2s", "s2s_long")


@pytest.fixture(scope="module")
def runtime(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxRuntime:
    out = tmp_path_factory.mktemp("screened")
    info = dataclasses.replace(read_model_info(tiny_checkpoint), screened_heads=True)
    write_graphs(info, open_sources(tiny_checkpoint), out, silent())
    return OnnxRuntime(out)


class Doubtful:
    """A screened graph that is never certain, and whose ids are wrong."""

    def __init__(self, session):
        self.session = session

    def run(self, inputs, caches=()):
        found = self.session.run(inputs, caches)
        wrong = {name: np.zeros_like(found[name]) for name in found if name.endswith("_ids")}
        return found | wrong | {"certain": np.zeros_like(found["certain"])}


def ids_of(engine, starts) -> list[list[int]]:
    for turn, start in enumerate(starts):
        start(engine, turn)
    outcomes = drive(engine)
    found = [outcomes[turn].ids for turn in range(len(starts))]
    assert all(found)
    return found


def spoken(runtime: OnnxRuntime, bottom, checkpoint: Path) -> list[list[int]]:
    cases = [spoken_case(checkpoint, name) for name in NAMES]

    def start(case):
        def begin(engine, turn):
            engine.start(turn, dataclasses.replace(case.request, max_units=40))
            engine.append(turn, case.fields["llm_ids"], final=True)

        return begin

    engine = SpeechEngine(bottom, runtime.session("speech_top"), runtime.info, speakable(132352), slots=len(cases))
    return ids_of(engine, [start(case) for case in cases])


def written(runtime: OnnxRuntime, greedy, temperatures=(0.0, 0.0, 0.0)) -> list[list[int]]:
    random = np.random.default_rng(0)
    prompts = [random.integers(0, 128000, length) for length in (3, 70, 140)]
    nothing = np.zeros((0, runtime.info.llama.hidden), np.float32)
    requests = [
        TextRequest(ids, nothing, 12, (), temperature=t, seed=i)
        for i, (ids, t) in enumerate(zip(prompts, temperatures, strict=True))
    ]
    engine = TextEngine(runtime.session("llm"), runtime.info, slots=3, greedy=greedy)
    return ids_of(engine, [lambda e, turn, r=request: e.start(turn, r) for request in requests])


def test_speech(runtime: OnnxRuntime, tiny_checkpoint: Path) -> None:
    whole, session = runtime.load("speech_bottom_step"), runtime.session("speech_bottom_step")
    assert isinstance(session, ScreenedSession)
    expected = spoken(runtime, whole, tiny_checkpoint)
    assert spoken(runtime, session, tiny_checkpoint) == expected
    assert session.steps > 30 and session.uncertain < session.steps / 10
    doubtful = ScreenedSession(Doubtful(runtime.load("speech_bottom_step_screened")), whole)
    assert spoken(runtime, doubtful, tiny_checkpoint) == expected
    assert doubtful.uncertain == doubtful.steps > 30


def test_text(runtime: OnnxRuntime) -> None:
    greedy = runtime.session("llm_greedy")
    expected = written(runtime, None)
    assert written(runtime, greedy) == expected
    assert greedy.steps > 12 and greedy.uncertain < greedy.steps / 10
    assert (
        written(runtime, ScreenedSession(Doubtful(runtime.load("llm_greedy")), TwoBest(runtime.load("llm"))))
        == expected
    )


def test_text_in_the_company_of_a_turn_that_samples(runtime: OnnxRuntime) -> None:
    """Whose steps need all logits: the others' ids stay what they are."""
    expected = written(runtime, None, (0.0, 1.0, 0.0))
    assert written(runtime, runtime.session("llm_greedy"), (0.0, 1.0, 0.0)) == expected


def test_two_best_does_not_hide_a_nan() -> None:
    class Llm:
        def run(self, inputs, caches=()):
            return {"logits": np.array([[1.0, np.nan, 3.0], [5.0, 2.0, 4.0]], np.float32)}

    found = TwoBest(Llm()).run({})
    assert np.isnan(found["best_logits"][0, 0])
    assert found["best_ids"][1].tolist() == [0, 2] and found["best_logits"][1].tolist() == [5.0, 4.0]
