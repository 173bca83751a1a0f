"""How a question names a thing: "the red circle", "a star at the top", "blue things"."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from stream_omni_demo.world.scene import Scene, Thing
from stream_omni_demo.world.words import COLOURS, NOUNS, PLACES, SHAPE, SIZES, THING, plural, with_article

_SYNONYMS = {THING: (THING, "object")}
_ADJECTIVES = ("left", "right", "top", "bottom")  # places that can stand before a noun too
GENERIC = (THING, SHAPE)


@dataclass(frozen=True)
class Reference:
    """``noun`` may be generic. At most one of the others is given: that is how people ask, too."""

    noun: str = THING
    colour: str = ""
    size: str = ""
    place: str = ""

    @property
    def words(self) -> str:
        """As answers call it, without an article: "red circle", "circle on the left"."""
        named = " ".join(filter(None, (self.size, self.colour, self.noun)))
        return f"{named} {PLACES[self.place][0]}" if self.place else named

    def matches(self, scene: Scene) -> list[Thing]:
        return [thing for thing in scene.things if self.fits(thing) and (not self.place or is_at(thing, self.place))]

    def fits(self, thing: Thing) -> bool:
        """Wherever the thing is."""
        return (
            (self.noun in (THING, thing.noun) or (self.noun == SHAPE and thing.is_shape))
            and self.colour in ("", thing.colour)
            and self.size in ("", thing.size)
        )


ANYTHING = Reference()


def is_at(thing: Thing, place: str) -> bool:
    """A corner and the middle are one cell of the grid, a side is all of its row or column."""
    return thing.place == place or (place != "middle" and place in thing.place.split())


def is_clearly_not_at(thing: Thing, place: str) -> bool:
    """What anybody would say: a thing in the middle column is neither clearly on the left nor clearly not."""
    if place == "middle":
        return thing.row != 1 and thing.column != 1
    opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
    return any(opposite[side] in thing.place.split() for side in place.split())


@cache
def definite_phrases(reference: Reference) -> tuple[str, ...]:
    """ "the circle on the left", "the left circle", ...; the plainest first."""
    described = " ".join(filter(None, (reference.size, reference.colour)))
    forms = []
    for noun in _SYNONYMS.get(reference.noun, (reference.noun,)):
        named = f"{described} {noun}".strip()
        forms += [f"the {named} {where}" for where in PLACES[reference.place]] if reference.place else [f"the {named}"]
        forms += [f"the {reference.place} {named}"] if reference.place in _ADJECTIVES else []
    return tuple(forms)


@cache
def indefinite_phrases(reference: Reference) -> tuple[str, ...]:
    """ "a red circle", "a circle on the left"."""
    forms = []
    for noun in _SYNONYMS.get(reference.noun, (reference.noun,)):
        named = with_article(" ".join(filter(None, (reference.size, reference.colour, noun))))
        forms += [f"{named} {where}" for where in PLACES[reference.place]] if reference.place else [named]
    return tuple(forms)


@cache
def plural_phrases(reference: Reference) -> tuple[str, ...]:
    """ "circles", "red things"."""
    nouns = _SYNONYMS.get(reference.noun, (reference.noun,))
    return tuple(" ".join(filter(None, (reference.colour, plural(noun)))) for noun in nouns)


def references() -> Iterator[Reference]:
    """All that questions use."""
    for noun in (*NOUNS, *GENERIC):
        yield Reference(noun)
        yield from (Reference(noun, colour=colour) for colour in COLOURS)
        yield from (Reference(noun, size=size) for size in SIZES)
        yield from (Reference(noun, place=place) for place in PLACES)


@cache
def known_phrases() -> dict[str, dict[str, Reference]]:
    """What each phrase of a slot refers to: "it" for definite ones, "a" for indefinite ones, "its" for plurals."""
    found: dict[str, dict[str, Reference]] = {"it": {}, "a": {}, "its": {}}
    for reference in references():
        for slot, phrases in (("it", definite_phrases), ("a", indefinite_phrases), ("its", plural_phrases)):
            if slot != "its" or not (reference.place or reference.size):
                found[slot].update(zip(phrases(reference), itertools.repeat(reference)))
    return found
