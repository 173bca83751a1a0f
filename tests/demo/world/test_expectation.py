"""What is written down of right answers judges as the domain itself does."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from stream_omni_demo.world.exchange import Exchange
from stream_omni_demo.world.expectation import expectation
from stream_omni_demo.world.sampling import sample_exchange
from stream_omni_eval.manifest import Item


def item(exchange: Exchange) -> Item:
    expected = expectation(exchange)
    return Item(
        *("1", "all", exchange.question),
        answers=tuple(expected.get("answers", ())),
        keywords=tuple(tuple(word.split("|")) for word in expected.get("keywords", ())),
        forbidden=tuple(expected.get("forbidden", ())),
    )


def test_right_and_wrong_answers_are_told_apart_as_the_domain_does() -> None:
    generator = np.random.default_rng(0)
    exchanges = [sample_exchange(generator)[1] for _ in range(600)]
    of_kind = defaultdict(list)
    for exchange in exchanges:
        of_kind[exchange.kind].append(exchange.answer)
    differing, judged = [], 0
    for exchange in exchanges:
        expected = item(exchange)
        assert expected.is_right(exchange.answer), exchange
        others = generator.choice(of_kind[exchange.kind], 12).tolist()
        for answer in others:
            judged += 1
            if expected.is_right(answer) != exchange.is_right(answer):
                differing.append((exchange, answer))
    assert len(differing) < judged / 1000, differing[:5]


def test_things_may_be_listed_in_any_order() -> None:
    seen = Exchange(
        "What do you see?", "I see two red stars, a cat and a sun.", "describe", ("two",), "What do you see?"
    )
    expected = item(seen)
    assert expected.is_right("I see a cat, a sun and two red stars.")
    assert not expected.is_right("I see a red cat, a sun and two stars.")
    assert not expected.is_right("I see two red stars and a cat.")
