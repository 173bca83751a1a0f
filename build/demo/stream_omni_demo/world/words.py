"""The closed domain's words: what can be in a picture, and how one says it."""

from __future__ import annotations

from collections.abc import Sequence

SHAPES = ("circle", "square", "triangle", "star")
EVERYDAY = ("house", "tree", "sun", "cat", "fish", "car", "flower", "cup")
NOUNS = (*SHAPES, *EVERYDAY)
THING, SHAPE = "thing", "shape"  # nouns for whatever it is
COLOURS = ("red", "blue", "green", "yellow", "orange", "purple", "black", "white")
BACKGROUND_COLOURS = ("white", "grey", "blue", "green", "yellow", "pink")  # light tints of them
SIZES = ("big", "small")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# How one says where something is; the first form of each is the one that answers have
PLACES = {
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "top": ("at the top", "on top"),
    "bottom": ("at the bottom",),
    "middle": ("in the middle", "in the centre"),
    "top left": ("in the top left corner", "at the top left"),
    "top right": ("in the top right corner", "at the top right"),
    "bottom left": ("in the bottom left corner", "at the bottom left"),
    "bottom right": ("in the bottom right corner", "at the bottom right"),
}

_IRREGULAR_PLURALS = {"fish": "fish"}


def plural(words: str) -> str:
    """Of a noun, or of words that end with it."""
    before, _, noun = words.rpartition(" ")
    return f"{before} {_IRREGULAR_PLURALS.get(noun, noun + 's')}".strip()


def number(count: int) -> str:
    """1 to 10."""
    return NUMBERS[count - 1]


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def sentence(words: str) -> str:
    """With a capital and a full stop."""
    return f"{words[0].upper()}{words[1:]}."
