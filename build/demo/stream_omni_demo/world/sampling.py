"""What to train on and to judge with: exchanges with or without a picture, and scenes for a given question."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stream_omni_demo.world.answer import NO_PICTURE, Answer, answer
from stream_omni_demo.world.chance import happens, pick_by_share
from stream_omni_demo.world.exchange import Exchange
from stream_omni_demo.world.proposing import KIND_SHARES, propose, wanted_things
from stream_omni_demo.world.question import phrase, understand
from stream_omni_demo.world.scene import Scene, sample_scene, sample_scene_with
from stream_omni_demo.world.split import Split
from stream_omni_demo.world.talk import sample_conversation, understand_conversation

_PICTURE_SHARE = 0.78  # of exchanges that are about a picture
_NO_PICTURE_SHARE = 0.05  # of exchanges that are about a picture which is not there
_TALK_WITH_PICTURE_SHARE = 0.3  # of conversations: about nothing in it
_TRIES = 200  # for each of some questions about one scene
_SCENE_TRIES = 20_000  # for a scene that suits a question, which the rarest do one time in hundreds


def exchanges_about(
    scene: Scene,
    generator: np.random.Generator,
    count: int,
    split: Split = "train",
    shares: Mapping[str, float] = KIND_SHARES,
) -> list[Exchange]:
    """Different questions, of any kind that has an answer, by the ``shares`` of the kinds; fewer than ``count`` if
    there are no more to be found. ``split`` is that of the paraphrases."""
    found: dict[str, Exchange] = {}
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        exchange = _exchange_about(scene, pick_by_share(shares, generator), generator, split)
        if exchange is not None:
            found.setdefault(exchange.question, exchange)
    return list(found.values())


def sample_lesson(
    generator: np.random.Generator, count: int, shares: Mapping[str, float]
) -> tuple[Scene, list[Exchange]]:
    """A scene that suits a kind of question, which is drawn by its share, and different questions about it, half of
    them of that kind. Of any scene, comparisons could be asked a third as often as their shares say."""
    kind = pick_by_share(shares, generator)
    scene, _ = _about_a_scene(kind, generator, "train")
    half = {other: share / 2 for other, share in shares.items()}
    return scene, exchanges_about(scene, generator, count, shares=half | {kind: half[kind] + 0.5})


def sample_exchange(generator: np.random.Generator, split: Split = "train") -> tuple[Scene | None, Exchange]:
    """One turn as a person might take it: mostly about a picture. Scene and paraphrase are both of the split."""
    luck = generator.random()
    if luck < _PICTURE_SHARE + _NO_PICTURE_SHARE:
        # The kind is chosen first, so that kinds with few scenes that suit them are not rare
        scene, asked = _about_a_scene(pick_by_share(KIND_SHARES, generator), generator, split)
        if luck < _PICTURE_SHARE:
            return scene, asked
        return None, _exchange(asked.question, NO_PICTURE, asked.kind, asked.paraphrase)
    return _perhaps_a_scene(generator, split), sample_conversation(generator, split)


def exchange_of(text: str, scene: Scene | None) -> Exchange | None:
    """The exchange that a text of the domain begins, such as a question that was recorded earlier; None if it is no
    text of the domain, or has no single right answer here."""
    if talk := understand_conversation(text):
        return talk
    understood = understand(text)
    if understood is None:
        return None
    question, paraphrase = understood
    right = answer(question, scene)
    return None if right is None else _exchange(text, right, question.kind, paraphrase.text)


def turn_of(text: str, generator: np.random.Generator, split: Split = "train") -> tuple[Scene | None, Exchange]:
    """As :func:`sample_exchange`, for a text of the domain that is there already, such as a recorded question: a scene
    of the split in which it has an answer, mostly one that has what it asks about.

    Raises ValueError for a text that is not of the domain.
    """
    if talk := understand_conversation(text):
        return _perhaps_a_scene(generator, split), talk
    understood = understand(text)
    if understood is None:
        raise ValueError(f"{text!r} is no question of the domain")
    question, paraphrase = understood
    if happens(_NO_PICTURE_SHARE / _PICTURE_SHARE, generator):
        return None, _exchange(text, NO_PICTURE, question.kind, paraphrase.text)
    for _ in range(_SCENE_TRIES):
        scene = sample_scene_with(wanted_things(question, generator), generator, split)
        if scene and (right := answer(question, scene)):
            return scene, _exchange(text, right, question.kind, paraphrase.text)
    raise ValueError(f"no scene was found in which {text!r} has an answer")


def _perhaps_a_scene(generator: np.random.Generator, split: Split) -> Scene | None:
    """A conversation has nothing to do with the picture that is there, or not."""
    return sample_scene(generator, split) if happens(_TALK_WITH_PICTURE_SHARE, generator) else None


def _about_a_scene(kind: str, generator: np.random.Generator, split: Split) -> tuple[Scene, Exchange]:
    while True:
        scene = sample_scene(generator, split)
        for _ in range(4):
            if exchange := _exchange_about(scene, kind, generator, split):
                return scene, exchange


def _exchange_about(scene: Scene, kind: str, generator: np.random.Generator, split: Split) -> Exchange | None:
    question = propose(kind, scene, generator)
    right = answer(question, scene)
    if right is None:
        return None
    text, paraphrase = phrase(question, generator, split)
    return _exchange(text, right, kind, paraphrase.text)


def _exchange(text: str, right: Answer, kind: str, paraphrase: str) -> Exchange:
    return Exchange(text, right.text, kind, right.keys, paraphrase)
