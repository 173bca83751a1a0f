"""Questions as people type them: without capitals or question marks, with digits and American spelling."""

from __future__ import annotations

import re

import numpy as np

from stream_omni_demo.world.chance import happens
from stream_omni_demo.world.words import NUMBERS

_AMERICAN = {"colour": "color", "favourite": "favorite", "grey": "gray", "centre": "center"}
_WORDS = re.compile(r"\b(" + "|".join(_AMERICAN) + r")\b")
_DIGITS = {number: str(i + 1) for i, number in enumerate(NUMBERS)}
_NUMBERS = re.compile(r"\b(" + "|".join(_DIGITS) + r")\b")
_AMERICAN_SHARE, _DIGITS_SHARE, _SMALL_SHARE, _BARE_SHARE = 0.2, 0.3, 0.3, 0.3

TYPED = tuple(_AMERICAN.values())  # words that spoken questions are not written with


def as_typed(question: str, generator: np.random.Generator) -> str:
    """The same question, as somebody might type it; often as it is."""
    if happens(_AMERICAN_SHARE, generator):
        question = _WORDS.sub(lambda word: _AMERICAN[word[0]], question)
    if " one " not in question and happens(_DIGITS_SHARE, generator):  # which rarely is a number
        question = _NUMBERS.sub(lambda word: _DIGITS[word[0]], question)
    if happens(_SMALL_SHARE, generator) and not question.startswith("I "):
        question = question[0].lower() + question[1:]
    return question.removesuffix("?").removesuffix(".") if happens(_BARE_SHARE, generator) else question
