"""The text engine: the recorded answers exactly, the same ids in any company, and every way a turn can end."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from stream_omni.model_info import ModelInfo
from stream_omni.request_error import RequestError
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.slots import Full
from stream_omni.text_engine import TextEngine, TextRequest, TextStep
from tests.recorded_turns import Outcome, drive, recorded, text_request, torch_runtime


@pytest.fixture
def info(tiny_checkpoint: Path) -> ModelInfo:
    return torch_runtime(tiny_checkpoint).info


@pytest.fixture
def llm(tiny_checkpoint: Path) -> Session:
    return torch_runtime(tiny_checkpoint).session("llm")


def request(seed: int, length: int, max_tokens: int = 8, **options: float) -> TextRequest:
    """A prompt of random text ids, every fifth of which is an embedding instead."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 128000, length)
    ids[4::5] = -1
    embeds = generator.standard_normal((int((ids == -1).sum()), 64)).astype(np.float32)
    return TextRequest(ids, embeds, max_tokens, (128009,), seed=seed, **options)  # type: ignore[arg-type]


def alone(llm: Session, info: ModelInfo, asked: TextRequest) -> Outcome:
    engine = TextEngine(llm, info, slots=1)
    engine.start(0, asked)
    return drive(engine)[0]


CASES = ["t2t", "t2t_img", "t2t_img_anyres", "s2t", "s2t_img", "t2s", "t2s_img", "s2s", "s2s_img", "s2s_long"]


@pytest.mark.parametrize("name", CASES)
def test_recorded_answers_are_exact(llm: Session, info: ModelInfo, name: str) -> None:
    fields, arrays = recorded(name)
    steps: list[TextStep] = []
    engine = TextEngine(llm, info, slots=2, probe=steps.append)
    engine.start(7, text_request(name, info.vocabulary.eos, info.vocabulary.eot))
    outcome = drive(engine)[7]
    assert outcome.ids == fields["llm_ids"] == [step.id for step in steps]
    if not fields["mode"].endswith("speech"):
        assert outcome.finish == {"eos": "stop", "length": "length"}[fields["stopped_by"]]
    np.testing.assert_allclose(steps[0].last_hidden, arrays["llm_prefill_last_hidden"], atol=1e-3)
    top = fields["text_top5"]
    np.testing.assert_allclose(steps[0].logits[top["ids"]], top["values"], atol=1e-3)
    assert not engine.has_work and engine.active == 0


def test_the_other_vocabulary_size(tiny_checkpoint_128256: Path) -> None:
    runtime = torch_runtime(tiny_checkpoint_128256)
    engine = TextEngine(runtime.session("llm"), runtime.info, slots=1)
    engine.start(0, text_request("t2t_tv128256", runtime.info.vocabulary.eos, runtime.info.vocabulary.eot))
    assert drive(engine)[0].ids == recorded("t2t_tv128256")[0]["out_ids"]


@pytest.mark.parametrize("seed", range(3))
def test_turns_that_join_and_leave_at_random_get_what_they_get_alone(llm: Session, info: ModelInfo, seed: int) -> None:
    chance = random.Random(seed)
    pool = [
        request(i, length, 6 + i, temperature=0.8 * (i % 2), top_p=0.9) for i, length in enumerate([1, 5, 65, 130, 20])
    ]
    expected = [alone(llm, info, asked) for asked in pool]
    engine = TextEngine(llm, info, slots=3)
    asked_of: dict[int, int] = {}
    cancelled: set[int] = set()

    def between(step: int) -> None:
        if chance.random() < 0.3 and step < 60:
            which = chance.randrange(len(pool))
            try:
                engine.start(step, pool[which])
                asked_of[step] = which
            except Full:
                assert engine.active == 3
        if asked_of and chance.random() < 0.05:
            cancelled.add(turn := chance.choice(list(asked_of)))
            engine.cancel(turn)

    found: dict[int, Outcome] = {}
    for step in range(400):
        between(step)
        for event in engine.step():
            found.setdefault(event.turn, Outcome([], [])).add(event)
    assert engine.active == 0 and len(asked_of) > 8
    for turn, which in asked_of.items():
        if turn not in cancelled:
            assert found[turn] == expected[which]
        elif turn in found:
            assert found[turn].ids == expected[which].ids[: len(found[turn].ids)]


def test_a_half_read_prompt_between_running_turns_is_padding_and_keeps_its_place(llm: Session, info: ModelInfo) -> None:
    asked = [request(0, 4, 30), request(1, 4, max_tokens=6), request(2, 4, 30), request(3, 400, 5)]
    engine = TextEngine(llm, info, slots=4)

    def between(step: int) -> None:
        if step < len(asked):
            engine.start(step, asked[step])

    # turn 1 is over while turn 3 is being read, which then moves between turns 0 and 2
    found = drive(engine, between)
    assert [found[turn] for turn in range(4)] == [alone(llm, info, wish) for wish in asked]


def test_a_long_prompt_delays_a_running_stream_by_one_chunk_a_step(llm: Session, info: ModelInfo) -> None:
    engine = TextEngine(llm, info, slots=2)
    engine.start(0, request(0, 4, max_tokens=30))
    engine.step()
    engine.start(1, request(1, 400))
    for _ in range(6):  # 400 positions are seven chunks
        assert [event.turn for event in engine.step()] == [0]
    assert [event.turn for event in engine.step()] == [0, 1]


def test_a_long_prompt_does_not_delay_a_short_ones_first_token(llm: Session, info: ModelInfo) -> None:
    engine = TextEngine(llm, info, slots=2)
    engine.start(0, request(0, 1000))
    engine.step()
    engine.start(1, request(1, 40, max_tokens=2))
    assert [event.turn for event in engine.step()] == [1]


class Watched:
    """The LLM, and the number of positions of each run for one turn."""

    def __init__(self, llm: Session) -> None:
        self._llm = llm
        self.lengths: list[int] = []

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        self.lengths.append(inputs["ids"].shape[1])
        return self._llm.run(inputs, caches)


def test_a_shared_beginning_is_read_once_while_it_is_remembered(llm: Session, info: ModelInfo) -> None:
    watched = Watched(llm)
    llama, floats = info.llama, 4
    keys_values = 2 * llama.llm_layers * llama.kv_heads * 46 * llama.head_size * floats
    content = 46 * 8 + 9 * llama.hidden * floats  # ids, and every fifth position an embedding
    engine = TextEngine(watched, info, slots=2, prefix_bytes=2 * (keys_values + content))
    first, other = (dataclasses.replace(request(seed, 100, max_tokens=1), shared_tokens=46) for seed in (1, 2))
    changed = dataclasses.replace(first, embeds=first.embeds + np.float32(1e-6))
    whole = [64, 36]
    for asked, chunks in (
        (first, whole),
        (first, [54]),
        (changed, whole),
        (first, [54]),
        (other, whole),
        (first, [54]),
    ):
        watched.lengths.clear()
        engine.start(0, asked)
        assert drive(engine)[0].finish == "length" and watched.lengths == chunks


def test_a_turn_that_is_cancelled_while_it_reads_leaves_no_half_read_beginning(llm: Session, info: ModelInfo) -> None:
    asked = dataclasses.replace(request(0, 200), shared_tokens=150)
    engine = TextEngine(llm, info, slots=2, prefix_bytes=1 << 20)
    for steps in (1, 2, 3):  # the third one reads past the beginning
        engine.start(0, asked)
        for _ in range(steps):
            engine.step()
        engine.cancel(0)
    engine.start(1, asked)
    assert drive(engine)[1] == alone(llm, info, asked)


def test_sampling_follows_the_seed(llm: Session, info: ModelInfo) -> None:
    first, again = (alone(llm, info, request(1, 9, temperature=1.0)) for _ in range(2))
    other = alone(llm, info, dataclasses.replace(request(1, 9, temperature=1.0), seed=2))
    assert first.ids == again.ids != other.ids


def test_the_context_limit_ends_a_turn_with_length(llm: Session, info: ModelInfo) -> None:
    narrow = dataclasses.replace(info, context_tokens=20)
    outcome = alone(llm, narrow, request(0, 17, max_tokens=50))
    assert outcome.finish == "length" and len(outcome.ids) == 3
    outcome = alone(llm, info, request(0, 17, max_tokens=1))
    assert outcome.finish == "length" and len(outcome.ids) == 1


def test_what_can_never_run_is_refused_with_the_numbers(llm: Session, info: ModelInfo) -> None:
    engine = TextEngine(llm, dataclasses.replace(info, context_tokens=20), slots=1)
    good = request(0, 10)
    for bad, message in {
        "20 positions; 1 to 19 fit": request(0, 20),
        "takes 2 rows of embeddings, 1": dataclasses.replace(good, embeds=good.embeds[:1]),
        "outside the text vocabulary of 132352": dataclasses.replace(good, ids=np.where(good.ids < 0, -1, 132352)),
        "not finite": dataclasses.replace(good, embeds=good.embeds * np.nan),
        "max_tokens is 0": dataclasses.replace(good, max_tokens=0),
    }.items():
        with pytest.raises(ValueError, match=bad) as refusal:
            engine.start(0, message)
        is_of_a_stage = re.search("embeddings|finite", bad) is not None
        assert isinstance(refusal.value, RequestError) != is_of_a_stage, "what a stage made is nobody's request"
    assert engine.active == 0


class FailsOnPrefill:
    """The LLM, except that prompts of three positions make it fail and those of two have no finite logits."""

    def __init__(self, llm: Session) -> None:
        self._llm = llm

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> dict[str, Array]:
        if inputs["ids"].shape[1] == 3:
            caches[0][:] = np.nan
            raise RuntimeError("/secret/path does not load")
        outputs = self._llm.run(inputs, caches)
        if inputs["ids"].shape[1] == 2:
            outputs["logits"][:] = np.nan
        return outputs


def test_a_failure_ends_only_the_turns_it_concerns(llm: Session, info: ModelInfo) -> None:
    expected = alone(llm, info, request(0, 9))
    engine = TextEngine(FailsOnPrefill(llm), info, slots=3)
    engine.start(1, request(1, 3))
    engine.start(0, request(0, 9))
    engine.start(2, request(2, 2))
    found = drive(engine)
    assert found[0] == expected
    for turn, kind in ((1, "RuntimeError"), (2, "FloatingPointError")):
        assert found[turn].finish == "error" and found[turn].ids == []
        assert found[turn].message == f"a step of TextEngine failed ({kind})"
    assert engine.active == 0
