"""Questions about a picture: what is meant, the words for it, and back from the words to what is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from stream_omni_demo.world.chance import happens, pick
from stream_omni_demo.world.paraphrase import Paraphrase, of_split, paraphrases
from stream_omni_demo.world.question_forms import QUESTION_PATTERNS
from stream_omni_demo.world.reference import (
    ANYTHING,
    Reference,
    definite_phrases,
    indefinite_phrases,
    known_phrases,
    plural_phrases,
)
from stream_omni_demo.world.split import Split
from stream_omni_demo.world.words import COLOURS, PLACES

COMPARISONS = {  # by the word that answers use
    "bigger": ("bigger", "larger"),
    "smaller": ("smaller",),
    "biggest": ("biggest", "largest"),
    "smallest": ("smallest",),
}
_REMEMBERED = 20_000  # texts: a recorded one is understood again in every epoch
_PLAINEST_SHARE = 0.6  # of references that are named in their plainest form


@dataclass(frozen=True)
class Question:
    """``kind`` is a key of :data:`QUESTION_PATTERNS`; ``word`` the colour or the comparison that is asked about."""

    kind: str
    about: Reference = ANYTHING
    other: Reference | None = None
    word: str = ""


@cache
def question_paraphrases(kind: str, split: Split | None = None) -> tuple[Paraphrase, ...]:
    """Of one split, or all."""
    if split is None:
        return paraphrases(QUESTION_PATTERNS[kind])
    return of_split(question_paraphrases(kind), split)


def phrase(question: Question, generator: np.random.Generator, split: Split) -> tuple[str, Paraphrase]:
    """Any of the split's ways to ask."""
    ways = question_paraphrases(question.kind, split)
    if question.about.place or question.about.size:  # which plurals do not tell
        ways = tuple(way for way in ways if "its" not in way.slots)
    chosen = pick(ways, generator)
    return chosen.fill({slot: _filled(slot, question, generator) for slot in chosen.slots}), chosen


@lru_cache(_REMEMBERED)
def understand(text: str) -> tuple[Question, Paraphrase] | None:
    """What a text asks, if it is a question of the domain, word for word but for capitals."""
    for kind in QUESTION_PATTERNS:
        for paraphrase in question_paraphrases(kind):
            values = paraphrase.match(text)
            if values is not None and (question := _meant(kind, values)) is not None:
                return question, paraphrase
    return None


def _filled(slot: str, question: Question, generator: np.random.Generator) -> str:
    match slot:
        case "it":
            return _often_first(definite_phrases(question.about), generator)
        case "other":
            assert question.other is not None, question
            return _often_first(definite_phrases(question.other), generator)
        case "a":
            return _often_first(indefinite_phrases(question.about), generator)
        case "its":
            return _often_first(plural_phrases(question.about), generator)
        case "place":
            return _often_first(PLACES[question.about.place], generator)
        case "colour":
            return question.word
        case "bigger" | "biggest":
            return _often_first(COMPARISONS[question.word], generator)
    raise ValueError(f"there is no slot {slot}")


def _meant(kind: str, values: Mapping[str, str]) -> Question | None:
    """None if a slot holds what does not belong there."""
    about, other, word = ANYTHING, None, ""
    for slot, text in values.items():
        found = _values(slot).get(text.lower())
        if found is None:
            return None
        if slot == "other":
            assert isinstance(found, Reference)
            other = found
        elif isinstance(found, Reference):
            about = found
        else:
            word = found
    return Question(kind, about, other, word)


@cache
def _values(slot: str) -> Mapping[str, Reference | str]:
    match slot:
        case "it" | "other":
            return dict(known_phrases()["it"])
        case "a" | "its":
            return dict(known_phrases()[slot])
        case "place":
            return {form: Reference(place=place) for place, forms in PLACES.items() for form in forms}
        case "colour":
            return {colour: colour for colour in COLOURS}
    return {form: word for word, forms in COMPARISONS.items() for form in forms if word.endswith(slot[-2:])}


def _often_first(forms: tuple[str, ...], generator: np.random.Generator) -> str:
    return forms[0] if len(forms) == 1 or happens(_PLAINEST_SHARE, generator) else pick(forms[1:], generator)
