"""The speech engine: the recorded generations step by step, whatever the company and however the text arrives."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from stream_omni.checkpoint import open_sources
from stream_omni.graphs import graphs
from stream_omni.networks import make_network
from stream_omni.networks.weights import load_weights
from stream_omni.request_error import RequestError
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.slots import Full
from stream_omni.runtime.torch_runtime import TorchSession
from stream_omni.speech_engine import SpeechEngine, SpeechStep
from stream_omni.speech_prompt import read_prompt
from tests.recorded_turns import Outcome, SpokenCase, drive, speakable, spoken_case, torch_runtime

S2S = ["s2s", "s2s_img", "s2s_img_anyres_max9", "s2s_long", "s2s_max5"]
T2S = ["t2s", "t2s_img"]


def engine_of(checkpoint: Path, slots: int = 3, **options: object) -> SpeechEngine:
    runtime = torch_runtime(checkpoint)
    sessions = runtime.session("speech_bottom_step"), runtime.session("speech_top")
    mask = speakable(runtime.info.vocabulary.text_size)
    return SpeechEngine(*sessions, runtime.info, mask, slots, **options)  # type: ignore[arg-type]


def check(steps: list[SpeechStep], outcome: Outcome, case: SpokenCase) -> None:
    fields = case.fields
    assert outcome.ids == fields["out_ids"] == [step.id for step in steps]
    assert outcome.finish == {"eos": "stop", "length": "length"}[fields["stopped_by"]]
    assert {name: [getattr(step, name) for step in steps] for name in fields["steps"]} == fields["steps"]
    assert steps[0].window_ids == fields["step0_window"]
    assert steps[0].window_positions == fields["step0_text_positions"]
    np.testing.assert_allclose(steps[0].last_hidden, case.arrays["top_hidden_last"], atol=1e-3)
    for step, top in zip(steps, fields["speech_top5"], strict=False):
        np.testing.assert_allclose(step.logits[top["ids"]], top["values"], atol=1e-3)
    assert sum(step.llm_steps for step in steps) == len(fields["llm_ids"])
    assert steps[-1].queued == len(fields["queued_ids"])


@pytest.mark.parametrize("name", S2S + T2S)
def test_recorded_generations_are_exact(tiny_checkpoint: Path, name: str) -> None:
    case = spoken_case(tiny_checkpoint, name)
    steps: list[SpeechStep] = []
    engine = engine_of(tiny_checkpoint, probe=steps.append)
    engine.start(3, case.request)
    engine.append(3, case.fields["llm_ids"], final=True)
    check(steps, drive(engine)[3], case)
    assert min(step.ctc_margin for step in steps) >= case.fields["min_margin"]["ctc"] - 1e-3
    assert engine.active == 0


@pytest.mark.parametrize("name", ["s2s_tv128256", "s2s_img_tv128256"])
def test_the_other_vocabulary_size(tiny_checkpoint_128256: Path, name: str) -> None:
    case = spoken_case(tiny_checkpoint_128256, name)
    steps: list[SpeechStep] = []
    engine = engine_of(tiny_checkpoint_128256, probe=steps.append)
    engine.start(0, case.request)
    engine.append(0, case.fields["llm_ids"], final=True)
    check(steps, drive(engine)[0], case)


@pytest.mark.parametrize("name", ["s2s", "s2s_long", "t2s"])
def test_the_prompts_pass_gives_the_recorded_states(tiny_checkpoint: Path, name: str) -> None:
    case = spoken_case(tiny_checkpoint, name)
    runtime = torch_runtime(tiny_checkpoint)
    ids = np.array(case.fields.get("prefill_ids", case.fields["prompt_ids"]), np.int64)
    prompt = read_prompt(runtime.session("speech_bottom"), runtime.info, ids)
    np.testing.assert_allclose(prompt.hidden, case.arrays["bottom_output"], atol=1e-4)
    if "soft_embeds" in case.arrays:
        np.testing.assert_allclose(prompt.soft_embeds, case.arrays["soft_embeds"], atol=1e-4)
        assert prompt.ctc_ids.tolist() == case.fields["ctc_ids"]
    with pytest.raises(RequestError, match="0 positions"):
        read_prompt(runtime.session("speech_bottom"), runtime.info, ids[:0])


@pytest.mark.parametrize("seed", range(3))
def test_turns_in_company_with_text_that_trickles_in_get_what_was_recorded(tiny_checkpoint: Path, seed: int) -> None:
    """Turns join, wait, are cancelled and leave at random moments; text comes in random pieces."""
    chance = random.Random(seed)
    cases = [
        spoken_case(tiny_checkpoint, name) for name in ("s2s", "t2s", "s2s_max5", "s2s_img_anyres_max9", "t2s_img")
    ]
    steps: dict[int, list[SpeechStep]] = {}
    engine = engine_of(tiny_checkpoint, probe=lambda step: steps.setdefault(step.turn, []).append(step))
    running: dict[int, SpokenCase] = {}
    unsent: dict[int, list[int]] = {}
    cancelled: set[int] = set()
    found: dict[int, Outcome] = {}
    for now in range(600):
        if now < 300 and chance.random() < 0.1:
            case = chance.choice(cases)
            try:
                engine.start(now, case.request)
                running[now], unsent[now] = case, list(case.fields["llm_ids"])
            except Full:
                assert engine.active == 3
        for turn, left in unsent.items():
            if left and chance.random() < (0.3 if now < 450 else 1):
                piece = [left.pop(0) for _ in range(min(len(left), chance.randint(1, 4)))]
                engine.append(turn, piece, final=not left)
        if running and chance.random() < 0.008:
            cancelled.add(turn := chance.choice(list(running)))
            engine.cancel(turn)
        for event in engine.step():
            found.setdefault(event.turn, Outcome([], [])).add(event)
    assert engine.active == 0 and len(running) - len(cancelled) >= 3
    for turn, case in running.items():
        if turn not in cancelled:
            check(steps[turn], found[turn], case)
        elif turn in found:
            assert found[turn].ids == case.fields["out_ids"][: len(found[turn].ids)]


def test_a_turn_without_text_waits_and_lets_others_pass(tiny_checkpoint: Path) -> None:
    waiting, talking = (spoken_case(tiny_checkpoint, name) for name in ("s2s_img_anyres_max9", "s2s_max5"))
    engine = engine_of(tiny_checkpoint)
    engine.start(0, waiting.request)
    engine.append(0, waiting.fields["llm_ids"][:2], final=False)
    engine.start(1, talking.request)
    engine.append(1, talking.fields["llm_ids"], final=False)
    found = drive(engine)
    assert found[1].ids == talking.fields["out_ids"] and 0 not in found
    assert not engine.has_work and engine.active == 1, "waiting costs nothing"
    engine.append(0, waiting.fields["llm_ids"][2:], final=False)
    assert engine.has_work
    assert drive(engine)[0].ids == waiting.fields["out_ids"]


def test_a_remembered_beginning_does_not_make_a_turn_speak_before_its_text(tiny_checkpoint: Path) -> None:
    case = spoken_case(tiny_checkpoint, "s2s_img_anyres_max9")
    request = dataclasses.replace(case.request, shared_tokens=len(case.request.hidden) - 10)
    engine = engine_of(tiny_checkpoint, prefix_bytes=1 << 22)
    for turn in range(3):
        engine.start(turn, request)
        engine.append(turn, case.fields["llm_ids"][:2], final=False)
        assert drive(engine) == {} and not engine.has_work and engine.active == 1
        engine.append(turn, case.fields["llm_ids"][2:], final=True)
        assert drive(engine)[turn].ids == case.fields["out_ids"]


def test_counts_rise_with_the_labels_that_moved_the_text_on(tiny_checkpoint: Path) -> None:
    case = spoken_case(tiny_checkpoint, "s2s")
    engine = engine_of(tiny_checkpoint)
    engine.start(0, case.request)
    engine.append(0, case.fields["llm_ids"], final=True)
    last, count, expected = 128002, 0, []
    for label in case.fields["steps"]["last_label"]:
        count += label != last
        last = label
        expected.append(count)
    assert drive(engine)[0].counts == expected and expected[-1] > 20


class Masked:
    """The top stack with its whole head, where other ids than ``ids`` cannot be chosen."""

    def __init__(self, top: Session, ids: Sequence[int]) -> None:
        self._top, self._ids = top, ids

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        outputs = self._top.run(inputs, caches)
        kept = outputs["logits"][:, self._ids]
        outputs["logits"][:] = -np.inf
        outputs["logits"][:, self._ids] = kept
        return outputs


@pytest.mark.parametrize("name", [*S2S, *T2S])
def test_a_head_of_units_and_end_ids_chooses_what_the_whole_one_would_among_them(
    tiny_checkpoint: Path, name: str
) -> None:
    runtime, case = torch_runtime(tiny_checkpoint), spoken_case(tiny_checkpoint, name)
    # as if half of the units were text, so that the choice differs from the usual one
    vocabulary = dataclasses.replace(runtime.info.vocabulary, units=2048)
    info = dataclasses.replace(runtime.info, vocabulary=vocabulary, only_units=True)
    network = make_network("speech_top", info)
    load_weights(network, open_sources(tiny_checkpoint)["model"])
    small = TorchSession(graphs(info)["speech_top"], network)
    masked = Masked(runtime.session("speech_top"), info.speech_ids)
    found: list[Outcome] = []
    for top, described in ((small, info), (masked, runtime.info)):
        engine = SpeechEngine(runtime.session("speech_bottom_step"), top, described, speakable(132352), slots=1)
        engine.start(0, dataclasses.replace(case.request, max_units=40))
        engine.append(0, case.fields["llm_ids"], final=True)
        found.append(drive(engine)[0])
    assert found[0] == found[1] and found[0].ids != case.fields["out_ids"][:40]
    assert set(found[0].ids) <= set(info.speech_ids) and len(info.speech_ids) == 2048 + 3


def test_an_answer_with_nothing_to_say_ends_without_a_sound(tiny_checkpoint: Path) -> None:
    silent = int(np.flatnonzero(~speakable(132352))[0])
    engine = engine_of(tiny_checkpoint)
    engine.start(0, spoken_case(tiny_checkpoint, "s2s").request)
    engine.append(0, [silent], final=True)
    assert drive(engine)[0] == Outcome([], [], "stop")
    assert engine.active == 0


def test_the_context_limit_ends_a_turn_with_length(tiny_checkpoint: Path) -> None:
    runtime, case = torch_runtime(tiny_checkpoint), spoken_case(tiny_checkpoint, "t2s")
    info = dataclasses.replace(runtime.info, context_tokens=60)
    sessions = runtime.session("speech_bottom_step"), runtime.session("speech_top")
    engine = SpeechEngine(*sessions, info, speakable(132352), slots=1)
    engine.start(0, case.request)
    engine.append(0, case.fields["llm_ids"], final=True)
    assert drive(engine)[0].ids == case.fields["out_ids"][:9]


def test_what_can_never_run_is_refused_with_the_numbers(tiny_checkpoint: Path) -> None:
    good = spoken_case(tiny_checkpoint, "t2s").request
    engine = engine_of(tiny_checkpoint)
    for message, changes in {
        "0 positions": {"hidden": good.hidden[:0]},
        r"hidden has the shape \(51, 63\)": {"hidden": good.hidden[:, :63]},
        r"keys_values has the shape \(4, 2, 50, 16\)": {"keys_values": good.keys_values[:, :, :50]},
        "not finite": {"hidden": good.hidden * np.inf},
        "max_units is 0": {"max_units": 0},
    }.items():
        with pytest.raises(ValueError, match=message) as refusal:
            engine.start(0, dataclasses.replace(good, **changes))
        is_of_a_stage = re.search("shape|finite", message) is not None
        assert isinstance(refusal.value, RequestError) != is_of_a_stage, "what a stage made is nobody's request"
    assert engine.active == 0
    engine.append(17, [1], final=True)  # a turn that is over, or never was
