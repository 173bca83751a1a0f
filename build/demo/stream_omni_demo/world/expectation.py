"""An exchange's right answers, written down for `stream-omni eval`, which knows nothing of this domain."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

from stream_omni_demo.world.exchange import LISTS, WORD_FOR_WORD, Exchange
from stream_omni_demo.world.judging import CLASSES, SAME, words_of
from stream_omni_demo.world.words import listed, sentence

_SEEN = "I see "


def expectation(exchange: Exchange) -> dict[str, list[str]]:
    """Of a manifest's item (:mod:`stream_omni_eval.manifest`): "answers", or "keywords" and "forbidden". What they
    take for right is what :meth:`Exchange.is_right` does."""
    if exchange.kind in WORD_FOR_WORD:
        return {"answers": [exchange.answer]}
    if exchange.kind in LISTS and "no" not in exchange.keys:
        return {"answers": _listings(exchange.answer)}
    said, asked = set(words_of(exchange.answer)), set(words_of(exchange.question))
    wanted = {SAME.get(key, key) for key in exchange.keys} | (said & {"no"})
    forbidden: set[str] = set()
    for kind in CLASSES:
        forbidden |= kind - said - (set() if kind & wanted or "no" in kind else asked)
    keywords = ["|".join(_forms(word)) for word in sorted(wanted)]
    if "one" in wanted:
        keywords = [f"{word}|a|an" if word.startswith("one") else word for word in keywords]
    return {"keywords": keywords, "forbidden": sorted({form for word in forbidden for form in _forms(word)})}


def _listings(answer: str) -> list[str]:
    """With the things in any order; what the question has said need not be said again."""
    enough, _, beside = answer.removesuffix(".").partition(" next ")
    if beside:
        return [answer, f"{enough}."]
    parts = enough.removeprefix(_SEEN).replace(" and ", ", ").split(", ")
    return [sentence(_SEEN + listed(order)) for order in permutations(parts)]


def _forms(word: str) -> Iterable[str]:
    """All that count as this word, itself first."""
    return [word, *(form for form, meaning in SAME.items() if meaning == word)]
