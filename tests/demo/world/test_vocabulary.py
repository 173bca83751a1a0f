"""Words, tokens, paraphrases, and what is held out."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from stream_omni_demo.sizes import DEMO, SYSTEM_PROMPT
from stream_omni_demo.world.paraphrase import paraphrases
from stream_omni_demo.world.question import QUESTION_PATTERNS, question_paraphrases
from stream_omni_demo.world.sampling import sample_exchange
from stream_omni_demo.world.sentences import answer_sentences, question_sentences, word_sentences
from stream_omni_demo.world.shipped import SCENE, shipped_exchange, shipped_picture
from stream_omni_demo.world.talk import conversation_paraphrases
from stream_omni_demo.world.typed import as_typed
from stream_omni_demo.world.vocabulary import (
    all_words,
    answer_words,
    demo_token_roles,
    demo_tokenizer,
    pieces,
    question_words,
)
from tokenizers import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return demo_tokenizer()


def test_every_word_is_one_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == DEMO.vocabulary
    for word in all_words():
        assert len(tokenizer.encode(word, add_special_tokens=False).ids) == 1, word
    assert 100 <= len(answer_words()) <= 150 and len(all_words()) <= 480
    roles = demo_token_roles(tokenizer)
    assert tokenizer.decode([roles.words[0]]) in all_words() and tokenizer.id_to_token(roles.eot) == "<|eot_id|>"
    assert tokenizer.decode([tokenizer.token_to_id(".")]) == "."


def test_whatever_is_said_is_whole_words_and_anything_else_comes_back_as_it_was(tokenizer: Tokenizer) -> None:
    generator = np.random.default_rng(1)
    questions, answers = set(all_words()), set(answer_words())
    for i in range(250):
        _, exchange = sample_exchange(generator, "held_out" if i % 10 == 0 else "train")
        assert set(pieces(exchange.question)) <= questions, exchange
        assert set(pieces(exchange.answer)) <= answers, exchange
        tokens = tokenizer.encode(exchange.answer, add_special_tokens=False)
        assert len(tokens.ids) == len(pieces(exchange.answer)) + exchange.answer.count(",") + 1
    for text in ("Where is the dragon, 12 é 天空?\n", SYSTEM_PROMPT):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_paraphrases_are_hundreds_and_split_without_losing_a_word() -> None:
    ways = [way for kind in QUESTION_PATTERNS for way in question_paraphrases(kind)]
    assert len(ways) > 700 and len(list(conversation_paraphrases())) > 600
    for kind in QUESTION_PATTERNS:
        train, held_out = question_paraphrases(kind, "train"), question_paraphrases(kind, "held_out")
        assert train and held_out and not set(train) & set(held_out) and len(train) > 2 * len(held_out)
    ways += conversation_paraphrases()
    words: dict[str, set[str]] = {"train": set(), "held_out": set()}
    for way in ways:
        words[way.split] |= set(pieces(way.fill(dict.fromkeys(way.slots, "."))))
    assert words["held_out"] <= words["train"]


def test_exchanges_are_of_the_split_that_was_asked_for() -> None:
    generator = np.random.default_rng(1)
    for split in ("train", "held_out"):
        for _ in range(30):
            scene, exchange = sample_exchange(generator, split)  # type: ignore[arg-type]
            assert exchange.split == split and (scene is None or scene.split == split)


def test_sentences_give_every_word_its_occasions() -> None:
    generator = np.random.default_rng(1)
    answers, questions = answer_sentences(generator, 150), question_sentences(generator, 150)
    assert len(set(answers)) == 150 == len(set(questions))
    heard = Counter(piece for answer in answers for piece in pieces(answer))
    assert len(set(answer_words()) - set(heard)) <= 12


def test_sentences_of_words_are_of_all_words_and_repeat_none() -> None:
    sentences = word_sentences(np.random.default_rng(1), 200, question_words())
    heard = Counter(piece for sentence in sentences for piece in pieces(sentence))
    inner = [heard[word] for word in question_words() if word.startswith(" ")]
    assert min(inner) >= 1 and max(inner) - min(inner) <= 1 and min(heard.values()) >= 1
    for sentence in sentences:
        assert all(a != b for a, b in itertools.pairwise(pieces(sentence))), sentence
        assert re.fullmatch(r"[A-Z][a-z]*,?( [A-Za-z]+,?){2,7}\.", sentence), sentence


def test_typed_questions_are_of_the_vocabulary() -> None:
    generator = np.random.default_rng(1)
    seen = {as_typed("What colour is the grey circle?", generator) for _ in range(100)}
    assert {"What colour is the grey circle?", "what color is the gray circle"} <= seen
    assert {piece for text in seen for piece in pieces(text)} <= set(all_words())
    assert any("2 plus 3" in as_typed("What is two plus three?", generator) for _ in range(20))


def test_patterns_are_expanded() -> None:
    assert [way.text for way in paraphrases(["(please|) say (a|b c) (now|)."])] == [
        *("please say a now.", "please say a.", "please say b c now.", "please say b c."),
        *("say a now.", "say a.", "say b c now.", "say b c."),
    ]


def test_the_shipped_pair_is_of_the_domain() -> None:
    assert shipped_exchange().answer == "The circle is red."
    assert SCENE.split == "held_out" and shipped_picture().size == (480, 480)
