"""Conversations without a picture, as exchanges."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np

from stream_omni_demo.world.chance import happens, pick, pick_by_share
from stream_omni_demo.world.exchange import Exchange
from stream_omni_demo.world.facts import FACTS
from stream_omni_demo.world.paraphrase import Paraphrase, of_split, paraphrases
from stream_omni_demo.world.small_talk import REPEAT_PATTERNS, SMALL_TALK
from stream_omni_demo.world.split import Split
from stream_omni_demo.world.topic import Case, Topic
from stream_omni_demo.world.words import COLOURS, NOUNS, PLACES, sentence, with_article

TOPICS = (*SMALL_TALK, *FACTS)
_TOPIC_OF = {topic.kind: topic for topic in TOPICS}
_REPEAT = "repeat"
_REPEATED_SHARE = 0.2  # of conversations
# What everybody says, and what is said of things; each begins with a word that answers begin with
REPEATED_WORDS = (
    *("hello", "goodbye", "good morning", "thank you", "yes", "no", "I see you", "I am fine", "the sky is blue"),
    *("the {noun} is {colour}", "{a}", "the {noun} is {place}", "I see {a}", "there is {a} {place}", "I like {colour}"),
    *("the {colour} {noun} is bigger", "{a} and {b}", "I see {a} and {b}", "it is {colour}", "it is {place}"),
)


def conversations(split: Split | None = None) -> list[Exchange]:
    """All that is closed (what is to be repeated is not), of one split or of both."""
    return [
        _exchange(topic, paraphrase, case)
        for topic in TOPICS
        for paraphrase in _topic_paraphrases(topic.kind, split)
        for case in topic.cases
    ]


def sample_conversation(generator: np.random.Generator, split: Split) -> Exchange:
    """A topic of many cases, such as sums, is more likely than one of few, but not by as much as it has more; how many
    ways there are to speak of it makes no difference."""
    if happens(_REPEATED_SHARE, generator):
        return _sample_repeated(generator, split)
    topic = _TOPIC_OF[pick_by_share(_topic_shares(split), generator)]
    return _exchange(topic, pick(_topic_paraphrases(topic.kind, split), generator), pick(topic.cases, generator))


def understand_conversation(text: str) -> Exchange | None:
    """What is answered to this text, if it is a conversation of the domain, word for word but for capitals."""
    if found := _by_question().get(text.lower()):
        return found
    for paraphrase in _repeat_paraphrases():
        values = paraphrase.match(text)
        if values is not None and any(form.fullmatch(values["words"]) for form in _repeated_forms()):
            return _repeated(paraphrase, values["words"], text)
    return None


def conversation_paraphrases(split: Split | None = None) -> Iterator[Paraphrase]:
    for topic in TOPICS:
        yield from _topic_paraphrases(topic.kind, split)
    yield from _repeat_paraphrases(split)


def _exchange(topic: Topic, paraphrase: Paraphrase, case: Case) -> Exchange:
    keys = tuple(key.format_map(case).lower() for key in topic.keys)
    answer = sentence(topic.answer.format_map(case).removesuffix("."))
    return Exchange(paraphrase.fill(case), answer, topic.kind, keys, paraphrase.text)


def _sample_repeated(generator: np.random.Generator, split: Split) -> Exchange:
    noun, colour = pick(NOUNS, generator), pick(COLOURS, generator)
    values = {"noun": noun, "colour": colour, "place": pick(tuple(PLACES.values()), generator)[0]}
    values["a"] = with_article(f"{colour} {noun}")
    values["b"] = with_article(f"{pick(COLOURS, generator)} {pick(NOUNS, generator)}")
    words = pick(REPEATED_WORDS, generator).format_map(values)
    way = pick(_repeat_paraphrases(split), generator)
    return _repeated(way, words, way.fill({"words": words}))


def _repeated(paraphrase: Paraphrase, words: str, text: str) -> Exchange:
    return Exchange(text, sentence(words), _REPEAT, (), paraphrase.text)


@cache
def _topic_paraphrases(kind: str, split: Split | None = None) -> tuple[Paraphrase, ...]:
    known = paraphrases(_TOPIC_OF[kind].patterns)
    return known if split is None else of_split(known, split)


@cache
def _topic_shares(split: Split) -> Mapping[str, float]:
    """By kind."""
    weights = {topic.kind: math.sqrt(len(topic.cases)) for topic in TOPICS if _topic_paraphrases(topic.kind, split)}
    return {kind: weight / sum(weights.values()) for kind, weight in weights.items()}


@cache
def _repeat_paraphrases(split: Split | None = None) -> tuple[Paraphrase, ...]:
    known = paraphrases(REPEAT_PATTERNS)
    return known if split is None else of_split(known, split)


@cache
def _by_question() -> dict[str, Exchange]:
    return {exchange.question.lower(): exchange for exchange in conversations()}


@cache
def _repeated_forms() -> tuple[re.Pattern[str], ...]:
    """Of what can be asked to be repeated."""
    named = f"an? (?:{'|'.join(COLOURS)}) (?:{'|'.join(NOUNS)})"
    values = {
        "noun": f"(?:{'|'.join(NOUNS)})",
        "colour": f"(?:{'|'.join(COLOURS)})",
        "place": f"(?:{'|'.join(forms[0] for forms in PLACES.values())})",
        "a": named,
        "b": named,
    }
    return tuple(re.compile(form.format_map(values)) for form in REPEATED_WORDS)
