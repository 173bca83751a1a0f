"""What is to be spoken for training: sentences that give every word as many occasions as there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stream_omni_demo.world.sampling import sample_exchange
from stream_omni_demo.world.split import Split
from stream_omni_demo.world.vocabulary import pieces

_CANDIDATES = 8  # for each sentence; the one with the rarest words is taken
_TRIES = 40  # for each sentence, as some kinds have few different ones


def question_sentences(generator: np.random.Generator, count: int, split: Split = "train") -> list[str]:
    """Different texts that a person says, of the split's paraphrases."""
    return _even(lambda: sample_exchange(generator, split)[1].question, count)


def answer_sentences(generator: np.random.Generator, count: int) -> list[str]:
    """Different texts that are answered."""
    return _even(lambda: sample_exchange(generator)[1].answer, count)


def word_sentences(generator: np.random.Generator, count: int, words: Sequence[str]) -> list[str]:
    """Three to eight ``words`` (pieces, as in :mod:`~stream_omni_demo.world.vocabulary`) in no order, each word as
    often as any other. They mean nothing: they are for hearing and saying words that occur in one sentence only, such
    as the capital of France."""
    firsts, others = ([word for word in words if word.startswith(" ") == inner] for inner in (False, True))
    first_deck, deck = _deck([word for word in firsts if word[0].isalpha()], generator), _deck(others, generator)
    sentences = []
    for _ in range(count):
        chosen = [next(first_deck)] + [next(deck) for _ in range(int(generator.integers(2, 8)))]
        comma = int(generator.integers(1, 2 * len(chosen)))  # after a word, or nowhere
        sentences.append("".join(chosen[:comma]) + ("," if comma < len(chosen) else "") + "".join(chosen[comma:]) + ".")
    return sentences


def _deck(words: Sequence[str], generator: np.random.Generator) -> Iterator[str]:
    """All words, again and again, shuffled each time; never the same one twice in a row."""
    last = ""
    while True:
        order = [words[i] for i in generator.permutation(len(words))]
        if order[0] == last:
            order.reverse()
        yield from order
        last = order[-1]


def _even(sample: Callable[[], str], count: int) -> list[str]:
    """Raises ValueError where there are not as many."""
    chosen: dict[str, None] = {}
    heard: Counter[str] = Counter()
    for _ in range(_TRIES * count):
        if len(chosen) == count:
            return list(chosen)
        new = [text for text in (sample() for _ in range(_CANDIDATES)) if text not in chosen]
        if new:
            rarest = max(new, key=lambda text: _rarity(text, heard))
            chosen[rarest] = None
            heard.update(pieces(rarest))
    raise ValueError(f"only {len(chosen)} different sentences were found, not {count}")


def _rarity(text: str, heard: Counter[str]) -> float:
    words = pieces(text)
    return sum(1 / (1 + heard[word]) for word in words) / len(words)
