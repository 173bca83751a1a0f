"""Answers are true: compared with what a scene's things say, worked out anew from each answer's words."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from stream_omni_demo.world.exchange import Exchange
from stream_omni_demo.world.proposing import KIND_SHARES, PRACTISED_SHARES
from stream_omni_demo.world.question import QUESTION_PATTERNS, question_paraphrases, understand
from stream_omni_demo.world.sampling import exchange_of, exchanges_about, sample_exchange, sample_lesson, turn_of
from stream_omni_demo.world.scene import Scene, Thing, sample_scene
from stream_omni_demo.world.talk import conversations
from stream_omni_demo.world.words import BACKGROUND_COLOURS, COLOURS, NOUNS, NUMBERS

SINGULAR = {f"{noun}s": noun for noun in (*NOUNS, "thing", "shape")} | {"objects": "thing", "object": "thing"}
CELLS = {
    "left": (1, 0),
    "right": (1, 2),
    "top": (0, 1),
    "bottom": (2, 1),
    "middle": (1, 1),
    "top left": (0, 0),
    "top right": (0, 2),
    "bottom left": (2, 0),
    "bottom right": (2, 2),
}


@pytest.fixture(scope="module")
def turns() -> list[tuple[Scene | None, Exchange]]:
    generator = np.random.default_rng(1)
    turns = [sample_exchange(generator, "held_out" if i % 10 == 0 else "train") for i in range(1800)]
    for _ in range(40):
        scene = sample_scene(generator)
        turns += [(scene, exchange) for exchange in exchanges_about(scene, generator, 8)]
    return turns


def things_called(words: list[str], scene: Scene) -> list[Thing]:
    """Those that fit every colour and noun among ``words``, wherever they are."""
    found = list(scene.things)
    for word in words:
        if word in COLOURS:
            found = [thing for thing in found if thing.colour == word]
        elif word == "shape":
            found = [thing for thing in found if thing.noun in ("circle", "square", "triangle", "star")]
        elif word in NOUNS:
            found = [thing for thing in found if thing.noun == word]
    return found


def at(text: str, things: list[Thing]) -> list[Thing]:
    """Those that are at the place a text names, if it names one."""
    text = re.sub("is that right|is it right that", "", text, flags=re.IGNORECASE)
    sides = re.findall(r"\b(left|right|top|bottom|middle|centre)\b", text)
    if "corner" in text or len(sides) == 2:
        return [thing for thing in things if (thing.row, thing.column) == CELLS[" ".join(sides)]]
    if not sides:
        return things
    if sides[0] in ("middle", "centre"):
        return [thing for thing in things if (thing.row, thing.column) == (1, 1)]
    axis, value = {"left": (1, 0), "right": (1, 2), "top": (0, 0), "bottom": (0, 2)}[sides[0]]
    return [thing for thing in things if (thing.row, thing.column)[axis] == value]


def words_of(text: str) -> list[str]:
    return [SINGULAR.get(word, word) for word in re.findall(r"[a-z]+", text.lower())]


def is_true(exchange: Exchange, scene: Scene) -> bool:
    said, asked = words_of(exchange.answer), words_of(exchange.question)
    if "background" in said:
        return scene.background in said
    if said[:3] == ["there", "is", "nothing"]:
        return len(scene.things) == 1 if "next" in said else not at(exchange.answer, list(scene.things))
    if "there is no " in exchange.answer.lower():
        return not at(exchange.answer, things_called(said, scene))
    if "next" in said:
        split = said.index("next")
        one, two = things_called(said[:split], scene), things_called(said[split:], scene)
        return len(scene.things) == 2 and len(one) >= 1 and len(two) == 1 and one != two
    match exchange.kind:
        case "colour" | "is colour":
            negative, named = said[0] == "no", [word for word in asked if word not in COLOURS]
            matching = at(exchange.question, things_called(named, scene))
            for size in ("big", "small"):
                matching = [t for t in matching if size not in asked or t.size == size]
            (thing,) = matching
            yes = any(word == thing.colour for word in asked)
            return said[-1] == thing.colour and (exchange.kind == "colour" or yes != negative)
        case "what is at":
            (thing,) = at(exchange.question, list(scene.things))
            return thing in things_called(said, scene) and thing.noun in said
        case "where":
            (thing,) = things_called(asked, scene)
            sides = " ".join(word for word in said if word in ["left", "right", "top", "bottom", "middle"])
            return CELLS[sides] == (thing.row, thing.column) and thing in things_called(said, scene)
        case "count":
            (counted,) = (word for word in said if word in NUMBERS)
            return len(things_called(asked, scene)) == NUMBERS.index(counted) + 1
        case "exists":
            matching = at(exchange.question, things_called(asked, scene))
            counted = [word for word in said if word in NUMBERS] or ["one"]
            return said[0] == "yes" and len(matching) == NUMBERS.index(counted[0]) + 1
        case "which is bigger" | "which of two" | "which of all" | "is bigger":
            (thing,) = things_called(said, scene)
            big = said[-1].startswith("big")
            others = [t for t in scene.things if t is not thing]
            if any(word in NOUNS for word in asked):
                others = [t for t in others if t.noun in asked and t.size != thing.size]
            compared = [t.side_px < thing.side_px if big else t.side_px > thing.side_px for t in others]
            asked_big = bool({"bigger", "larger", "biggest", "largest"} & set(asked))
            return any(compared) and ("than" in asked or all(compared)) and (said[0] != "no") == (asked_big == big)
        case "shape" | "identity":
            matching = at(exchange.question, things_called(asked, scene))
            for size in ("big", "small"):
                matching = [t for t in matching if size not in asked or t.size == size]
            (thing,) = matching
            return said[-1] == thing.noun
        case "describe":
            counts = Counter(thing.noun for thing in scene.things)
            told: Counter[str] = Counter()
            for part in re.split(r", | and ", exchange.answer):
                words = words_of(part)
                number = next((NUMBERS.index(word) + 1 for word in words if word in NUMBERS), 1)
                told[words[-1]] += number
                if any(word in COLOURS for word in words) and len(things_called(words, scene)) < number:
                    return False
            return told == counts
    raise AssertionError(exchange.kind)


def test_answers_are_true(turns: list[tuple[Scene | None, Exchange]]) -> None:
    for scene, exchange in turns:
        if scene is not None and exchange.kind in QUESTION_PATTERNS:
            assert is_true(exchange, scene), (exchange, scene)


def test_lessons_are_about_the_kinds_that_are_practised() -> None:
    generator = np.random.default_rng(5)
    shares = {"which of all": 0.5, "beside": 0.5}
    lessons = [sample_lesson(generator, 4, shares) for _ in range(40)]
    exchanges = [(exchange, scene) for scene, about in lessons for exchange in about]
    assert all(len({exchange.question for exchange in about}) == 4 for _, about in lessons)
    assert all(is_true(exchange, scene) for exchange, scene in exchanges)
    counted = Counter(exchange.kind for exchange, _ in exchanges)
    assert counted.keys() == shares.keys() and min(counted.values()) > 40


def test_every_kind_is_asked_with_and_without_a_picture(turns: list[tuple[Scene | None, Exchange]]) -> None:
    assert sum(KIND_SHARES.values()) == pytest.approx(1) == sum(PRACTISED_SHARES.values())
    assert PRACTISED_SHARES.keys() == KIND_SHARES.keys()
    assert {exchange.kind for scene, exchange in turns if scene} >= set(QUESTION_PATTERNS)
    talked = {exchange.kind for exchange in conversations()} | {"repeat"}
    assert {exchange.kind for scene, exchange in turns if scene is None} >= talked
    missing = [exchange for scene, exchange in turns if scene is None and exchange.kind in QUESTION_PATTERNS]
    assert missing and {exchange.answer for exchange in missing} == {"I see no picture."}


def test_yes_and_no_are_about_as_frequent(turns: list[tuple[Scene | None, Exchange]]) -> None:
    for kind in ("exists", "is colour"):
        first = Counter(exchange.answer.split()[0] for scene, exchange in turns if scene and exchange.kind == kind)
        assert 0.4 < first["Yes,"] / (first["Yes,"] + first["No,"]) < 0.65, first


def test_answers_are_short_closed_and_never_say_a_token_twice(turns: list[tuple[Scene | None, Exchange]]) -> None:
    for exchange in (*(exchange for _, exchange in turns), *conversations()):
        assert exchange.answer.endswith(".") and 1 <= len(exchange.answer.split()) <= 12, exchange
        tokens = re.findall(r"\w+|[^\w ]", exchange.answer)
        assert all(a.lower() != b.lower() for a, b in itertools.pairwise(tokens)), exchange


def test_words_lead_back_to_what_was_meant(turns: list[tuple[Scene | None, Exchange]]) -> None:
    for scene, exchange in turns[::5]:
        assert exchange_of(exchange.question, scene) == exchange
        assert exchange_of(exchange.question[0].lower() + exchange.question[1:], scene) is not None
    for text in ("", "What colour?", "Where is the dragon?", "Is the circle circle?", "Say hello to the dragon."):
        assert exchange_of(text, None) is None


def test_no_text_has_two_meanings() -> None:
    """Paraphrases of different kinds never read the same, and conversations are not about pictures."""
    texts = Counter(way.text for kind in QUESTION_PATTERNS for way in question_paraphrases(kind))
    assert max(texts.values()) == 1
    assert all(understand(exchange.question) is None for exchange in conversations()[::40])


def test_a_recorded_question_gets_a_scene_and_a_true_answer(turns: list[tuple[Scene | None, Exchange]]) -> None:
    generator = np.random.default_rng(2)
    for _, exchange in turns[:100]:
        scene, again = turn_of(exchange.question, generator, "held_out")
        assert (again.question, again.kind) == (exchange.question, exchange.kind)
        if scene is not None and again.kind in QUESTION_PATTERNS:
            assert scene.split == "held_out" and is_true(again, scene), (again, scene)
    with pytest.raises(ValueError, match="no question of the domain"):
        turn_of("Where is the dragon?", generator)


def test_background_colours_have_names_of_their_own() -> None:
    assert {"grey", "pink"} <= set(BACKGROUND_COLOURS) - set(COLOURS)
