"""Judging: strict about content, tolerant of phrasing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from stream_omni_demo.world.exchange import Exchange
from stream_omni_demo.world.sampling import exchange_of, sample_exchange
from stream_omni_demo.world.scene import Scene, Thing

SCENE = Scene(
    (
        Thing("circle", "red", "big", 1, 0, 110.0, 240.0, 180.0),
        Thing("square", "blue", "small", 0, 2, 530.0, 80.0, 100.0),
    ),
    "white",
)


def exchange(question: str) -> Exchange:
    found = exchange_of(question, SCENE)
    assert found is not None, question
    return found


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        ("What colour is the circle?", "It is red. / red / A red circle.", "It is blue. / The square is red."),
        ("Where is the square?", "At the top right. / It is in the top right corner.", "At the top. / Right."),
        ("What is on the left?", "A red circle. / I see a red circle.", "A circle. / A red square. / Nothing."),
        ("How many circles are there?", "One. / There is a circle.", "Two. / There is no circle. / There are two."),
        ("How many stars are there?", "There is no star. / None.", "There is one star. / There is no circle."),
        ("Is there a red circle?", "Yes, there is a red circle.", "No, there is no red circle. / Yes. / A circle."),
        ("Is the circle blue?", "No, it is red.", "Yes, the circle is blue. / No, the circle is blue. / It is red."),
        ("Which is bigger?", "The circle. / The circle is bigger.", "The square. / The circle is smaller. / Bigger."),
        ("What do you see?", "A blue square and a red circle.", "A red square and a blue circle. / A red circle."),
        ("What is next to the square?", "A red circle.", "A blue square next to the red circle. / A red square."),
        ("What is the capital of France?", "It is Paris. / Paris.", "Rome. / The capital of France."),
        ("Count to three.", "One, two, three.", "One, two. / One, three, two. / One, two, three, four."),
        ("Say the cat is black.", "The cat is black.", "The cat is white. / The cat is."),
    ],
)
def test_what_counts_as_right(question: str, right: str, wrong: str) -> None:
    asked = exchange(question)
    assert not asked.is_right("")
    for answer in right.split(" / "):
        assert asked.is_right(answer), (asked, answer)
    for answer in wrong.split(" / "):
        assert not asked.is_right(answer), (asked, answer)


def test_the_right_answer_is_right_and_that_of_another_question_is_not() -> None:
    generator = np.random.default_rng(1)
    exchanges = [sample_exchange(generator)[1] for _ in range(400)]
    assert all(exchange.is_right(exchange.answer) for exchange in exchanges)
    others = sum(a.is_right(b.answer) for a, b in itertools.pairwise(exchanges) if a.answer != b.answer)
    assert others < 12  # "It is red." may well answer two of them
