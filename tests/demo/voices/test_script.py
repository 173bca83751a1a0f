"""Who says what: nothing that is judged with was ever trained on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from stream_omni_demo.plan import FULL, SMOKE
from stream_omni_demo.voices.cast import CAST, OUTPUT
from stream_omni_demo.voices.script import Part, Take, parts_of

PLAN = replace(
    FULL,
    answers=60,
    answers_of_words=12,
    output_voice_questions=20,
    questions=290,
    held_out_answers=10,
    held_out_questions=60,
    held_out_voice_questions=30,
)


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    return parts_of(PLAN)


def _said(parts: list[Part], kind: str, split: str) -> list[tuple[str, Take]]:
    return [(p.voice.name, take) for p in parts for take in p.takes if (take.kind, take.split) == (kind, split)]


def test_there_is_as_much_of_everything_as_the_plan_says(parts: list[Part]) -> None:
    counts = Counter((take.kind, take.split) for part in parts for take in part.takes)
    assert counts == {
        ("answer", "train"): 72,
        ("answer", "held_out_sentence"): 10,
        ("question", "train"): 310,
        ("question", "held_out_sentence"): 60,
        ("question", "held_out_voice"): 30,
    }


def test_what_is_held_out_is_never_trained_on(parts: list[Part]) -> None:
    trained = {take.text for _, take in _said(parts, "question", "train")}
    for split in ("held_out_sentence", "held_out_voice"):
        assert not trained & {take.text for _, take in _said(parts, "question", split)}
    trained_answers = {take.text for _, take in _said(parts, "answer", "train")}
    assert not trained_answers & {take.text for _, take in _said(parts, "answer", "held_out_sentence")}


def test_voices_that_are_kept_out_only_say_what_is_held_out(parts: list[Part]) -> None:
    kept_out = {voice.name for voice in CAST if voice.kept_out}
    assert {name for name, _ in _said(parts, "question", "held_out_voice")} == kept_out
    for split in ("train", "held_out_sentence"):
        assert not {name for name, _ in _said(parts, "question", split)} & kept_out


def test_only_the_output_voice_answers_and_always_in_its_own_manner(parts: list[Part]) -> None:
    output = [part for part in parts if part.voice == OUTPUT]
    assert {name for name, _ in _said(parts, "answer", "train")} == {OUTPUT.name}
    assert {(take.manner.speed, take.manner.pitch) for part in output for take in part.takes} == {(1.0, 1.0)}


def test_every_voice_that_is_not_kept_out_asks(parts: list[Part]) -> None:
    asking = Counter(name for name, _ in _said(parts, "question", "train"))
    assert set(asking) == {OUTPUT.name} | {voice.name for voice in CAST if not voice.kept_out}


def test_the_same_plan_gives_the_same_script_and_another_seed_another(parts: list[Part]) -> None:
    assert parts_of(PLAN) == parts
    other = {part.name: part for part in parts_of(replace(PLAN, seed=1))}
    assert all(other[part.name].made_from != part.made_from for part in parts)


def test_slow_voices_begin(parts: list[Part]) -> None:
    expected_s = [part.expected_s for part in parts]
    assert expected_s == sorted(expected_s, reverse=True)


def test_a_smoke_run_needs_no_synthesizer() -> None:
    assert {part.voice.synthesizer for part in parts_of(SMOKE)} == {"letters"}
