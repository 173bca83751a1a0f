"""Questions that nobody asked keep words and units together."""

from __future__ import annotations

import numpy as np
import torch
from stream_omni_demo.language.conversing import Conversation
from stream_omni_demo.language.recombining import Aligned, Recombination, _begins, align, put_together
from stream_omni_demo.language.served import Trained
from stream_omni_demo.language.utterances import Utterance
from stream_omni_demo.trainee import Tensors

from stream_omni.transcript import collapse
from tests.demo.language.small_house import some_units

# the unit 10 w + k is the k-th of the word w, which is first heard at its last unit, 10 w + 3
WORDS = 4


def said(words: list[int]) -> Aligned:
    units = np.array([10 * word + part for word in words for part in range(WORDS)])
    return Aligned(units, words, [WORDS * number + 3 for number in range(len(words))])


def test_halves_have_the_units_of_their_words():
    generator = np.random.default_rng(0)
    one, other = said([1, 2, 3, 4]), said([5, 6, 7])
    seen = set()
    for _ in range(200):
        units, labels = put_together(one, other, generator)
        whole = [unit // 10 for unit in units.tolist() if unit % 10 == 0]  # words whose beginning is there
        assert whole == list(labels)
        assert len(labels) >= 2
        seen.add(tuple(labels))
    assert len(seen) == 4 * 3 and (1, 5, 6, 7) in seen and (1, 2, 3, 4, 7) in seen


def test_what_would_be_too_long_is_not_put_together():
    long = said(list(range(1, 25)))
    for seed in range(20):
        units, labels = put_together(long, long, np.random.default_rng(seed))
        assert (len(units) <= 110 and len(labels) == len(units) // WORDS) or list(labels) == long.labels


def test_units_are_taken_for_those_that_sound_like_them():
    places = torch.linspace(0, 2 * np.pi, 65)[:-1]
    means = torch.stack([places.cos(), places.sin()], 1)  # 64 units on a circle
    recombination, generator = Recombination({}, means), np.random.default_rng(1)
    units = np.full(4000, 20)
    changed, labels = recombination.of(units, [7, 8], "nobody", generator)
    assert labels == [7, 8]
    shares = np.bincount(changed, minlength=64) / len(changed)
    near = shares[[17, 18, 19, 21, 22, 23]]
    assert shares[20] > 0.6 and near.min() > 3 * np.delete(shares, range(17, 24)).max()


def test_only_what_is_wholly_heard_is_taken_apart(info, tokenizer, tensors: Tensors):
    conversation = Conversation(Trained(info, tensors), info, tokenizer)
    generator, blank = np.random.default_rng(2), info.vocabulary.blank
    utterances = [Utterance("hello", "one", (np.array(some_units(generator, 12)),)) for _ in range(3)]
    assert not align(conversation, tokenizer, blank, utterances, generator)  # random weights hear nothing rightly
    heard = np.array([blank, 5, 5, blank, 5, 6, 6, blank])
    assert collapse(heard, blank) == [5, 5, 6] and _begins(heard, blank) == [1, 4, 5]
