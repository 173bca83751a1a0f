"""Words that were heard or read, compared with those that were meant."""

from __future__ import annotations

import re
from collections.abc import Sequence


def word_error_rate(references: Sequence[str], heard: Sequence[str]) -> float:
    """Words put in, left out and exchanged, of all texts together, for each word of the references; a fraction.

    Spelling that cannot be heard does not count: see :func:`words_of`. Raises ValueError without any reference word.
    """
    expected = [words_of(text) for text in references]
    errors = sum(_distance(a, words_of(b)) for a, b in zip(expected, heard, strict=True))
    if not any(expected):
        raise ValueError("the references have no words")
    return errors / sum(len(words) for words in expected)


def words_of(text: str) -> list[str]:
    """Lower case, no punctuation, digits as words, one spelling of each word, short forms written out."""
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = re.sub(r"\d+", lambda found: f" {_number(int(found[0]))} ", text)
    for short, long in _SHORT_FORMS.items():
        text = re.sub(rf"{short}\b", long, text)
    words = re.findall(r"[\w']+", text)
    return [_SPELLINGS.get(word, word) for word in (word.strip("'") for word in words) if word]


_SHORT_FORMS = {
    r"\bcan't": "can not",
    r"\bcannot": "can not",
    r"\bwon't": "will not",
    r"n't": " not",
    r"'re": " are",
    r"'m": " am",
    r"'ll": " will",
    r"(?<=it|he)'s": " is",
    r"(?<=what|that)'s": " is",
    r"(?<=there|where)'s": " is",
}
_SPELLINGS = {
    "color": "colour",
    "colors": "colours",
    "colored": "coloured",
    "gray": "grey",
    "center": "centre",
    "favorite": "favourite",
    "ok": "okay",
    "hallo": "hello",
}
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def _number(value: int) -> str:
    """In words below a hundred; digit for digit above."""
    if value < 20:
        return _SMALL[value]
    if value < 100:
        tens, ones = _TENS[value // 10 - 2], value % 10
        return f"{tens} {_SMALL[ones]}" if ones else tens
    return " ".join(_SMALL[int(digit)] for digit in str(value))


def _distance(expected: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein's, over words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(expected, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
