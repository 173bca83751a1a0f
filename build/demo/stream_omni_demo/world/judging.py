"""Whether an answer is right: strict about what it says, tolerant of how.

"It is red." and "The circle is red." are both right answers to the same question; "The square is red." is none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from stream_omni_demo.world.words import BACKGROUND_COLOURS, COLOURS, NOUNS, NUMBERS, SHAPE, THING, plural

SAME = {  # word: the one that it counts as
    **{plural(noun): noun for noun in (*NOUNS, THING, SHAPE)},
    "object": THING,
    "objects": THING,
    "larger": "bigger",
    "largest": "biggest",
    "centre": "middle",
    "center": "middle",
    "color": "colour",
    "gray": "grey",
    "nothing": "no",
    "not": "no",
    "none": "no",
    "an": "a",
}
CLASSES: tuple[frozenset[str], ...] = tuple(
    frozenset(words)
    for words in (
        (*COLOURS, *BACKGROUND_COLOURS),
        (*NOUNS,),
        ("left", "right", "top", "bottom", "middle"),
        NUMBERS,
        ("bigger", "smaller", "biggest", "smallest"),
        ("no",),
    )
)
_CONTENT = frozenset().union(*CLASSES)


def words_of(text: str) -> list[str]:
    """Small letters, no punctuation, one word for what means the same."""
    return [SAME.get(word, word) for word in re.findall(r"[a-z]+", text.lower())]


def says(given: str, keys: Sequence[str], question: str, right: str) -> bool:
    """Whether an answer has all the keys, others of their kind only if the right answer has them too, and nothing else
    that neither it nor the question speaks of."""
    words = set(words_of(given))
    if "one" in keys and not words & set(NUMBERS) and "a" in words:
        words.add("one")
    content = words & _CONTENT
    wanted = {SAME.get(key, key) for key in keys}
    said = set(words_of(right))
    if any(wanted & kind and not content & kind <= said for kind in CLASSES):
        return False
    return wanted <= words and content <= said | set(words_of(question)) and ("no" in words) == ("no" in said)


def says_the_same(given: str, right: str) -> bool:
    """Word for word: for counting and repeating."""
    return words_of(given) == words_of(right)


def lists_the_same(given: str, right: str) -> bool:
    """The same things with the same colours and numbers, in any order."""
    return _listed(given) == _listed(right)


def _listed(text: str) -> Counter[tuple[str, ...]]:
    """Each thing with the words that belong to it: ("two", "red", "circle")."""
    found: Counter[tuple[str, ...]] = Counter()
    named: list[str] = []
    for word in words_of(text):
        if word in _CONTENT:
            named.append(word)
        if word in NOUNS:
            found[tuple(named)] += 1
            named = []
    if named:  # what belongs to nothing is wrong
        found[tuple(named)] += 1
    return found
