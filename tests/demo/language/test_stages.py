"""Every language stage runs, hands its tensors to the next, and its gate says what is not good enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from stream_omni_demo.language import (
    ctc_stage,
    listening_stage,
    llm_stage,
    practice_stage,
    reading_stage,
    seeing_stage,
    top_stage,
)
from stream_omni_demo.language.school import School
from stream_omni_demo.language.utterances import Utterance
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.plan import SMOKE

from stream_omni.networks.needs import needed_tensors


def utterances(texts: list[str]) -> list[Utterance]:
    generator = np.random.default_rng(len(texts))
    return [Utterance(text, "one", (generator.integers(0, 512, 3 * len(text.split()) + 4),)) for text in texts]


@pytest.fixture(scope="module")
def school(world_info, world_tokenizer) -> School:
    questions = utterances(["What colour is the circle?", "Is there a star?", "How are you?", "What do you see?"])
    answers = utterances(["The circle is red.", "No, there is no star.", "I am fine, thank you."])
    return School(world_info, world_tokenizer, questions, answers, questions, answers, questions)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"), SMOKE, say=lambda text: None)


def test_all_stages_in_turn(school: School, workshop: Workshop):
    seen = seeing_stage.train_seeing(workshop, school.info, school.tokenizer)
    assert set(seen) == {"noun", "colour", "size", "row", "column"}
    read = reading_stage.train_reading(workshop, school.info, school.tokenizer)
    practised = practice_stage.train_practice(workshop, school.info, school.tokenizer)
    assert 0 <= read["right"] <= 1 and read.keys() == practised.keys()
    assert names_in(workshop.trained("reading")) == names_in(workshop.trained("practice"))
    means = torch.randn(512, 24)
    heard = ctc_stage.train_hearing(workshop, school, means)
    listened = listening_stage.train_listening(workshop, school, means)
    assert set(heard) == {"wer", "wer_in_noise", "wer_of_strangers", "answers_counted"} == set(listened)
    answered = llm_stage.train_answering(workshop, school)
    assert {"typed_right", "spoken_right", "spoken_by_strangers_right"} <= set(answered)
    spoken = top_stage.train_speaking(workshop, school)
    assert {"cross_entropy", "accuracy", "wer", "ended", "wer_after_a_question", "ended_after_a_question"} == set(
        spoken
    )
    trained = set().union(*(names_in(workshop.trained(stage)) for stage in ("listening", "llm", "top")))
    assert trained == set(needed_tensors(school.info)["model"]) - {"model.image_newline"}
    kept_apart = [names_in(workshop.trained(stage)) for stage in ("listening", "llm", "top")]
    assert sum(map(len, kept_apart)) == len(trained), "no stage may overwrite another's"


def names_in(path: Path) -> set[str]:
    with safe_open(path, framework="np") as file:
        return set(file.keys())


def test_gates_name_what_is_missing():
    seen = {"noun": 0.95, "colour": 0.99, "size": 0.95, "row": 1.0, "column": 1.0}
    assert seeing_stage.gate(seen) == "" and all(seeing_stage.gate(seen | {name: 0.5}) for name in seen)
    assert "the noun of 50.0% of the things is seen" in seeing_stage.gate(seen | {"noun": 0.5})
    assert reading_stage.gate({"right": 0.95}) == "" != reading_stage.gate({"right": 0.5})
    assert practice_stage.gate({"right": 0.95}) == "" != practice_stage.gate({"right": 0.85})
    heard = {"wer": 0.03, "wer_in_noise": 0.08, "wer_of_strangers": 0.1, "answers_counted": 0.95}
    assert listening_stage.gate(heard) == "" and all(listening_stage.gate(heard | {name: 0.5}) for name in heard)
    assert ctc_stage.gate(heard) == "" and ctc_stage.gate(heard | {"answers_counted": 0.5})
    assert ctc_stage.gate(heard | {"wer": 0.08}) == "" != listening_stage.gate(heard | {"wer": 0.08})
    answered = {"typed_right": 0.96, "spoken_right": 0.93}
    assert llm_stage.gate(answered) == "" and all(llm_stage.gate(answered | {name: 0.5}) for name in answered)
    spoken = {"wer": 0.1, "ended": 1.0, "wer_after_a_question": 0.1, "ended_after_a_question": 1.0}
    assert top_stage.gate(spoken) == "" and all(top_stage.gate(spoken | {name: 0.5}) for name in spoken)
