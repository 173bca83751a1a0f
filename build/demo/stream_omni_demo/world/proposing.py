"""Questions that one may ask about a scene: of every kind, and as often about what is there as about what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from stream_omni_demo.world.chance import happens, pick, pick_by_share
from stream_omni_demo.world.question import Question
from stream_omni_demo.world.reference import ANYTHING, Reference, is_at
from stream_omni_demo.world.scene import Scene, Thing, colours_of, sample_thing
from stream_omni_demo.world.words import COLOURS, NOUNS, PLACES, SHAPE, SHAPES, THING

# How things are named, with the shares of each form, by the kind of question
_FORMS: Mapping[str, Mapping[str, float]] = {
    "colour": {"noun": 0.4, "noun at": 0.3, "sized noun": 0.1, "thing at": 0.12, "shape at": 0.04, "sized thing": 0.04},
    "where": {"noun": 0.45, "coloured noun": 0.35, "coloured thing": 0.15, "coloured shape": 0.05},
    "count": {"noun": 0.4, "coloured noun": 0.1, "coloured thing": 0.15, "thing": 0.25, "shape": 0.1},
    "exists": {"noun": 0.35, "coloured noun": 0.35, "coloured thing": 0.15, "noun at": 0.15},
    "is colour": {"noun": 0.6, "noun at": 0.25, "thing at": 0.15},
    "comparison": {"noun": 0.7, "coloured noun": 0.3},
    "shape": {"coloured thing": 0.6, "thing at": 0.4},
    "identity": {"coloured thing": 0.5, "coloured shape": 0.1, "thing at": 0.3, "sized thing": 0.1},
    "beside": {"noun": 0.7, "coloured noun": 0.3},
}
# How often the thing asked about is any, which mostly is not there
_ABSENT: Mapping[str, float] = {"colour": 0.08, "where": 0.1, "count": 0.25, "exists": 0.55, "is colour": 0.04}
_RARELY_ABSENT = 0.06
_ANYWHERE = 0.15  # of questions what is at a place, whether or not there is anything
# Of scenes for a question: those that are made to have what it asks about
_THERE: Mapping[str, float] = {"exists": 0.5, "count": 0.7, "what is at": 0.7}
_MOSTLY_THERE = 0.94
# Of questions about pictures
KIND_SHARES: Mapping[str, float] = {
    "colour": 0.18,
    "what is at": 0.13,
    "where": 0.13,
    "count": 0.13,
    "exists": 0.11,
    "is colour": 0.07,
    "which is bigger": 0.03,
    "which of two": 0.03,
    "which of all": 0.02,
    "is bigger": 0.02,
    "shape": 0.03,
    "identity": 0.03,
    "beside": 0.02,
    "describe": 0.04,
    "background": 0.03,
}
# The same for practice: what is hard to learn, more often
PRACTISED_SHARES: Mapping[str, float] = {
    "colour": 0.08,
    "what is at": 0.05,
    "where": 0.07,
    "count": 0.26,
    "exists": 0.08,
    "is colour": 0.08,
    "which is bigger": 0.05,
    "which of two": 0.06,
    "which of all": 0.04,
    "is bigger": 0.07,
    "shape": 0.02,
    "identity": 0.02,
    "beside": 0.05,
    "describe": 0.06,
    "background": 0.01,
}


def propose(kind: str, scene: Scene, generator: np.random.Generator) -> Question:
    """A question of the kind; it need not have an answer."""
    return _PROPOSALS.get(kind, _about_one)(kind, scene, generator)


def reference_to(thing: Thing, form: str, generator: np.random.Generator) -> Reference:
    """``form`` as in the shares above."""
    noun = THING if form.endswith("thing") or form == "thing at" else SHAPE if "shape" in form else thing.noun
    if form.endswith(" at"):
        return Reference(noun, place=_place_of(thing, generator))
    if form.startswith("sized"):
        return Reference(noun, size=thing.size)
    return Reference(noun, colour=thing.colour if form.startswith("coloured") else "")


def wanted_things(question: Question, generator: np.random.Generator) -> list[Thing]:
    """For a scene in which the question makes sense: mostly what it asks about, in cells of their own."""
    wanted: list[Thing] = []
    colour = question.word if question.kind == "is colour" and happens(0.5, generator) else ""
    for reference in (question.about, question.other):
        if reference not in (None, ANYTHING) and happens(_THERE.get(question.kind, _MOSTLY_THERE), generator):
            assert reference is not None
            wanted += _things_like(replace(reference, colour=reference.colour or colour), generator)
    if question.kind == "count" and happens(0.5, generator):  # several, else one is by far the commonest answer
        for _ in range(pick((1, 2), generator)):
            wanted += _things_like(question.about, generator)
    if question.other is not None and len(wanted) == 2:  # else they cannot be compared
        wanted[1] = replace(wanted[1], size="small" if wanted[0].size == "big" else "big")
    cells = {(thing.row, thing.column) for thing in wanted}
    return wanted if len(cells) == len(wanted) <= 4 else []


def _things_like(reference: Reference, generator: np.random.Generator) -> list[Thing]:
    """One; two if the reference tells one from another by its size; none if there is no such thing."""
    nouns = {THING: NOUNS, SHAPE: SHAPES}.get(reference.noun, (reference.noun,))
    nouns = tuple(noun for noun in nouns if reference.colour in ("", *colours_of(noun)))
    if not nouns:
        return []
    fixed = {field: value for field in ("colour", "size") if (value := getattr(reference, field))}
    noun = pick(nouns, generator)
    thing = sample_thing(generator, noun=noun, **fixed)
    while reference.place and not is_at(thing, reference.place):
        thing = sample_thing(generator, noun=noun, **fixed)
    if not reference.size:
        return [thing]
    return [thing, sample_thing(generator, noun=noun, size="small" if reference.size == "big" else "big")]


def _about_one(kind: str, scene: Scene, generator: np.random.Generator) -> Question:
    return Question(kind, _reference(kind, scene, generator))


def _about_nothing(kind: str, scene: Scene, generator: np.random.Generator) -> Question:
    return Question(kind)


def _what_is_at(kind: str, scene: Scene, generator: np.random.Generator) -> Question:
    anywhere = happens(_ANYWHERE, generator)
    place = pick(tuple(PLACES), generator) if anywhere else _place_of(pick(scene.things, generator), generator)
    return Question(kind, Reference(place=place))


def _is_colour(kind: str, scene: Scene, generator: np.random.Generator) -> Question:
    about = _reference(kind, scene, generator)
    matches = about.matches(scene)
    true = len(matches) == 1 and happens(0.5, generator)
    return Question(kind, about, word=matches[0].colour if true else pick(COLOURS, generator))


def _comparison(kind: str, scene: Scene, generator: np.random.Generator) -> Question:
    words = ("biggest", "smallest") if kind == "which of all" else ("bigger", "smaller")
    word = pick(words, generator)
    if kind in ("which of two", "which of all"):
        return Question(kind, word=word)
    about, other = (_reference("comparison", scene, generator) for _ in range(2))
    return Question(kind, about, other, word)


def _reference(kind: str, scene: Scene, generator: np.random.Generator) -> Reference:
    absent = happens(_ABSENT.get(kind, _RARELY_ABSENT), generator)
    thing = sample_thing(generator) if absent else pick(scene.things, generator)
    return reference_to(thing, pick_by_share(_FORMS[kind], generator), generator)


def _place_of(thing: Thing, generator: np.random.Generator) -> str:
    """Any name of where it is: a thing in a corner is on two sides as well."""
    return pick([place for place in PLACES if is_at(thing, place)], generator)


_PROPOSALS: Mapping[str, Callable[[str, Scene, np.random.Generator], Question]] = {
    "background": _about_nothing,
    "describe": _about_nothing,
    "what is at": _what_is_at,
    "is colour": _is_colour,
    "which is bigger": _comparison,
    "which of two": _comparison,
    "which of all": _comparison,
    "is bigger": _comparison,
}
