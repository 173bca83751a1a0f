"""What is true of a scene, as a short sentence; nothing where people could disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stream_omni_demo.world.question import Question
from stream_omni_demo.world.reference import GENERIC, Reference, is_at, is_clearly_not_at
from stream_omni_demo.world.scene import Scene, Thing, colours_of
from stream_omni_demo.world.words import PLACES, THING, listed, number, plural, sentence, with_article

_LISTED_WITH_COLOURS = 3  # things at the most, so that no answer is longer than twelve words


@dataclass(frozen=True)
class Answer:
    """``keys`` are the words that decide whether an answer is right (see :mod:`~stream_omni_demo.world.judging`)."""

    text: str
    keys: tuple[str, ...]


NO_PICTURE = Answer("I see no picture.", ("no", "picture"))


def answer(question: Question, scene: Scene | None) -> Answer | None:
    """None where the question has no single right answer."""
    return NO_PICTURE if scene is None else _ANSWERS[question.kind](question, scene)


def _colour(question: Question, scene: Scene) -> Answer | None:
    thing = _single(question.about, scene)
    if thing is None:
        return _missing(question.about, scene)
    named = "it" if question.about.noun in GENERIC else f"the {thing.noun}"
    return _said(f"{named} is {thing.colour}", thing.colour)


def _background(question: Question, scene: Scene) -> Answer | None:
    return _said(f"the background is {scene.background}", scene.background)


def _what_is_at(question: Question, scene: Scene) -> Answer | None:
    thing = _single(question.about, scene)
    if thing is None:
        return _missing(question.about, scene)
    return _said(f"there is {with_article(_described(thing))} {_where_words(question.about.place)}", *_keys(thing))


def _where(question: Question, scene: Scene) -> Answer | None:
    thing = _single(question.about, scene)
    if thing is None:
        return _missing(question.about, scene)
    return _said(f"the {question.about.words} is {_where_words(thing.place)}", *thing.place.split())


def _count(question: Question, scene: Scene) -> Answer | None:
    count, words = len(question.about.matches(scene)), question.about.words
    if count == 0:
        return _said(f"there is no {words}", "no")
    if count == 1:
        return _said(f"there is one {words}", "one")
    return _said(f"there are {number(count)} {plural(words)}", number(count))


def _exists(question: Question, scene: Scene) -> Answer | None:
    about = question.about
    count = len(about.matches(scene))
    if count == 1:
        return _said(f"yes, there is {with_article(about.words)}", *_named(about))
    if count > 1:
        return None if about.place else _said(f"yes, there are {number(count)} {plural(about.words)}", *_named(about))
    if about.place and not all(is_clearly_not_at(t, about.place) for t in scene.things if about.fits(t)):
        return None
    return _said(f"no, there is no {about.words}", "no")


def _is_colour(question: Question, scene: Scene) -> Answer | None:
    thing = _single(question.about, scene)
    if thing is None:
        return _missing(question.about, scene)
    named = "it" if question.about.noun in GENERIC else f"the {thing.noun}"
    if thing.colour == question.word:
        return _said(f"yes, {named} is {thing.colour}", thing.colour)
    return _said(f"no, {named} is {thing.colour}", "no", thing.colour)


def _which_is_bigger(question: Question, scene: Scene) -> Answer | None:
    assert question.other is not None, question
    pair = [_single(reference, scene) for reference in (question.about, question.other)]
    for reference, thing in zip((question.about, question.other), pair, strict=True):
        if thing is None:
            return _missing(reference, scene)
    wanted = "big" if question.word == "bigger" else "small"
    fitting = [r for r, t in zip((question.about, question.other), pair, strict=True) if t and t.size == wanted]
    if len(fitting) != 1:
        return None
    return _said(f"the {fitting[0].words} is {question.word}", *_named(fitting[0]))


def _which_of_all(question: Question, scene: Scene) -> Answer | None:
    """Of two things the bigger one, of more the biggest one."""
    if (len(scene.things) == 2) != (question.word in ("bigger", "smaller")) or len(scene.things) < 2:
        return None
    wanted = "big" if question.word.startswith("big") else "small"
    fitting = [thing for thing in scene.things if thing.size == wanted]
    if len(fitting) != 1:
        return None
    thing = fitting[0]
    alone = Reference(thing.noun)
    named = alone if _single(alone, scene) else Reference(thing.noun, colour=thing.colour)
    if _single(named, scene) is None:
        return None
    the = "the " if question.word.endswith("est") else ""
    return _said(f"the {named.words} is {the}{question.word}", *_named(named))


def _is_bigger(question: Question, scene: Scene) -> Answer | None:
    assert question.other is not None, question
    one, two = _single(question.about, scene), _single(question.other, scene)
    if one is None or two is None:
        return _missing(question.about if one is None else question.other, scene)
    if one.size == two.size:
        return None
    true = "bigger" if one.size == "big" else "smaller"
    if true == question.word:
        return _said(f"yes, the {question.about.words} is {true}", true)
    return _said(f"no, the {question.about.words} is {true}", "no", true)


def _shape(question: Question, scene: Scene) -> Answer | None:
    thing = _single(question.about, scene)
    return None if thing is not None and not thing.is_shape else _identity(question, scene)


def _identity(question: Question, scene: Scene) -> Answer | None:
    thing = _single(question.about, scene)
    if thing is None:
        return _missing(question.about, scene)
    return _said(f"it is {with_article(thing.noun)}", thing.noun)


def _beside(question: Question, scene: Scene) -> Answer | None:
    """Only where there is nothing else to choose from."""
    thing = _single(question.about, scene)
    if thing is None:
        return _missing(question.about, scene)
    others = [other for other in scene.things if other is not thing]
    beside = f"next to the {question.about.words}"
    if not others:
        return _said(f"there is nothing {beside}", "no")
    if len(others) > 1:
        return None
    return _said(f"there is {with_article(_described(others[0]))} {beside}", *_keys(others[0]))


def _describe(question: Question, scene: Scene) -> Answer | None:
    """From left to right; things of the same name together."""
    with_colours = len(scene.things) <= _LISTED_WITH_COLOURS
    names = [_described(thing) if with_colours else thing.noun for thing in scene.things]
    counts = Counter(names).items()
    parts = [with_article(name) if count == 1 else f"{number(count)} {plural(name)}" for name, count in counts]
    keys = tuple(word for part in parts for word in part.split() if word not in ("a", "an"))
    return _said(f"I see {listed(parts)}", *keys)


def _single(reference: Reference, scene: Scene) -> Thing | None:
    """The one thing that is meant. A size tells things apart only where there is the other size, too."""
    matches = reference.matches(scene)
    if len(matches) != 1:
        return None
    if reference.size:
        rivals = Reference(reference.noun, reference.colour).matches(scene)
        return matches[0] if len(rivals) > 1 else None
    return matches[0]


def _missing(reference: Reference, scene: Scene) -> Answer | None:
    """What to say of a thing that is not there at all; None if there are several, or somewhere else."""
    if reference.noun not in GENERIC or reference.colour:
        if Reference(reference.noun, reference.colour).matches(scene):
            return None
        return _said(f"there is no {Reference(reference.noun, reference.colour).words}", "no")
    place = reference.place
    clear = [is_clearly_not_at(thing, place) if place else False for thing in scene.things]
    if reference.noun != THING or not place or not all(clear) or not _are_in_line(scene, place):
        return None
    return _said(f"there is nothing {_where_words(place)}", "no")


def _are_in_line(scene: Scene, place: str) -> bool:
    """Whether no thing could be called the one on that side for want of another: "on the left" of two things is the
    left one, wherever they are."""
    if place in ("left", "right"):
        return len({thing.column for thing in scene.things}) == 1
    if place in ("top", "bottom"):
        return len({thing.row for thing in scene.things}) == 1
    return not any(is_at(thing, place) for thing in scene.things)


def _described(thing: Thing) -> str:
    """With the colour, where there is a choice of it."""
    return thing.noun if len(colours_of(thing.noun)) == 1 else f"{thing.colour} {thing.noun}"


def _keys(thing: Thing) -> tuple[str, ...]:
    return tuple(_described(thing).split())


def _named(reference: Reference) -> tuple[str, ...]:
    return tuple(filter(None, (reference.colour, reference.noun)))


def _where_words(place: str) -> str:
    return PLACES[place][0]


def _said(words: str, *keys: str) -> Answer:
    return Answer(sentence(words), keys)


_ANSWERS: Mapping[str, Callable[[Question, Scene], Answer | None]] = {
    "colour": _colour,
    "background": _background,
    "what is at": _what_is_at,
    "where": _where,
    "count": _count,
    "exists": _exists,
    "is colour": _is_colour,
    "which is bigger": _which_is_bigger,
    "which of two": _which_of_all,
    "which of all": _which_of_all,
    "is bigger": _is_bigger,
    "shape": _shape,
    "identity": _identity,
    "beside": _beside,
    "describe": _describe,
}
