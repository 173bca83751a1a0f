"""Batches hold what the served system would see, and are the same whenever they are asked for."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from stream_omni_demo.language.hearing_batches import HearingBatches, HearingSizes
from stream_omni_demo.language.served import Trained
from stream_omni_demo.language.speaking_batches import Disturbances, SpeakingBatches, SpeakingSizes
from stream_omni_demo.language.utterances import Utterance, alike, roughened
from stream_omni_demo.language.windows import counted, counts_of
from stream_omni_demo.trainee import Tensors

from stream_omni.prompt import Question, build_prompt, speech_prefill_ids
from stream_omni.speech_prompt import read_prompt
from stream_omni.tokenizer import Tokenizer
from tests.demo.language.small_house import some_units


@pytest.fixture(scope="module")
def questions() -> list[Utterance]:
    return utterances(["What colour is the circle?", "What is on the left?", "How many stars are there?"], "someone")


@pytest.fixture(scope="module")
def answers() -> list[Utterance]:
    return utterances(["The circle is red.", "There are two stars.", "Hello, I see and talk."], "one")


def utterances(texts: list[str], voice: str) -> list[Utterance]:
    generator = np.random.default_rng(len(texts[0]))
    return [
        Utterance(text, voice, tuple(np.array(some_units(generator, len(text) // 2 + n)) for n in range(2)))
        for text in texts
    ]


def same(one: object, other: object) -> bool:
    return all(torch.equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))  # type: ignore[arg-type]


def test_prompts_and_answers_of_the_bottom_stack(info, tokenizer: Tokenizer, questions, answers):
    sizes = HearingSizes(questions=4, answered=2, answers_each=3, answers_alone=2)
    batches = HearingBatches(info, tokenizer, questions, answers, sizes, seed=5)
    beginning, prompts, said = batches.at(7)
    assert all(same(one, other) for one, other in zip(batches.at(7), (beginning, prompts, said), strict=True))
    assert not same(batches.at(8)[2], said)
    shared = beginning.ids[0]
    whole = build_prompt(tokenizer, info, Question(units=(0,)))
    assert shared.tolist() == whole.ids[: len(shared)].tolist() and int(beginning.lengths[0]) == whole.shared_tokens
    prefill = torch.cat([shared, prompts.ids[4, : prompts.lengths[4]]])
    assert prefill.tolist() == speech_prefill_ids(tokenizer, info).tolist()
    assert sorted(said.parents.tolist()).count(4) == 2, "two answers after the prompt of text-to-speech"
    labels = iter(prompts.labels.tolist())
    for row in range(4):
        begin, end = prompts.audio[row].tolist()
        ids = torch.cat([shared, prompts.ids[row, : prompts.lengths[row]]])
        text = tokenizer.decode([next(labels) for _ in range(int(prompts.label_counts[row]))])
        assert text in {question.text for question in questions}
        rendered = tokenizer.decode(ids.tolist(), skip_special=False)
        spoken = tokenizer.decode(prompts.ids[row, begin:end].tolist())
        assert spoken.count("<Audio_") == rendered.count("<Audio_") == end - begin
        assert rendered.endswith(f"{spoken}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    assert (said.ids[0, : said.lengths[0]] >= info.vocabulary.unit_offset).all()


def test_answers_of_the_top_stack_are_heard_as_when_served(
    info, tokenizer: Tokenizer, tensors: Tensors, questions, answers
):
    with torch.no_grad():  # so that some labels are blanks
        tensors.get("audio_to_text_proj.weight")[info.vocabulary.blank] *= 3.0
    runtime = Trained(info, tensors)
    sizes = SpeakingSizes(answers_alone=2, prompts=2, answers_each=2)
    bottom = runtime.network("speech_bottom_step")
    batches = SpeakingBatches(info, tokenizer, bottom, questions, answers, sizes, seed=1, disturbances=None)
    prompts, spoken = batches.at(3)
    again = batches.at(3)
    assert same(again[0], prompts) and same(again[1], spoken)
    assert sorted(spoken.parents.tolist()) == [0, 0, 1, 1, 2, 2]
    prefill = speech_prefill_ids(tokenizer, info)
    assert int(prompts.lengths[0]) == len(prefill) - 1
    for row in (spoken.parents == 0).nonzero().flatten().tolist():
        length = int(spoken.lengths[row])
        targets = spoken.targets[row, :length].numpy()
        assert targets[-1] == info.vocabulary.eot
        served = read_prompt(runtime.session("speech_bottom"), info, np.concatenate([prefill, targets[:-1]]))
        np.testing.assert_allclose(spoken.hidden[row, :length], served.hidden[len(prefill) - 1 :], atol=1e-4)
        np.testing.assert_allclose(prompts.hidden[0, : len(prefill) - 1], served.hidden[: len(prefill) - 1], atol=1e-4)
        expected = counts_of(counted(served.ctc_ids[len(prefill) :], info.vocabulary.blank))
        assert spoken.counts[row, :length].tolist() == expected.tolist()
        text = tokenizer.decode(spoken.text[row, : spoken.text_lengths[row]].tolist())
        assert text in {answer.text for answer in answers}


def test_disturbed_answers_keep_their_targets(info, tokenizer: Tokenizer, tensors: Tensors, questions, answers):
    sizes = SpeakingSizes(answers_alone=1, prompts=1, answers_each=1)
    bottom = Trained(info, tensors).network("speech_bottom_step")
    made = [
        SpeakingBatches(info, tokenizer, bottom, questions, answers, sizes, 1, how).at(0)[1]
        for how in (Disturbances(), None)
    ]
    assert torch.equal(made[0].targets, made[1].targets) and torch.equal(made[0].lengths, made[1].lengths)


def test_a_batch_is_of_like_lengths(questions):
    many = [Utterance("", "", (np.zeros(length, np.int64),)) for length in range(1, 200)]
    spans = []
    for step in range(16):
        lengths = [utterance.length for utterance in alike(many, 6, step, seed=0)]
        spans.append(max(lengths) - min(lengths))
    assert np.mean(spans) < 40
    assert [u.length for u in alike(many, 6, 3, seed=0)] == [u.length for u in alike(many, 6, 3, seed=0)]


def test_rough_units_are_nearly_the_same():
    units = np.arange(1000)
    rough = roughened(units, 1000, np.random.default_rng(0), share=0.1)
    assert 950 < len(rough) < 1050
    assert 0.8 < len(np.intersect1d(units, rough)) / 1000 < 0.97
    assert np.array_equal(roughened(units, 1000, np.random.default_rng(0), share=0.0), units)
