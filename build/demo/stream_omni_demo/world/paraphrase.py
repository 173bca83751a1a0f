"""Hundreds of ways to ask the same: patterns with alternatives are expanded to paraphrases with slots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from stream_omni_demo.world.split import Split, split_of

_ALTERNATIVES = re.compile(r"\(([^()]*)\)")  # an innermost group
_SLOT = re.compile(r"\{(\w+)\}")
_SLOTS_OF_ONE_WORD = ("colour", "bigger", "biggest")


@dataclass(frozen=True)
class Paraphrase:
    """``text`` has its slots open and no capital yet: "what colour is {it}?"."""

    text: str

    @cached_property
    def split(self) -> Split:
        return split_of(self.text)

    @cached_property
    def slots(self) -> tuple[str, ...]:
        return tuple(_SLOT.findall(self.text))

    def fill(self, values: Mapping[str, str]) -> str:
        text = self.text.format_map(values)
        return text[0].upper() + text[1:]

    def match(self, text: str) -> Mapping[str, str] | None:
        """What is in the slots of a text that has this form."""
        if match := self._form.fullmatch(text):
            return match.groupdict()
        return None

    @cached_property
    def _form(self) -> re.Pattern[str]:
        parts = _SLOT.split(self.text)  # text, slot, text, slot, ..., text
        form = "".join(_slot_form(part) if i % 2 else re.escape(part) for i, part in enumerate(parts))
        return re.compile(form, re.IGNORECASE)


def paraphrases(patterns: Iterable[str]) -> tuple[Paraphrase, ...]:
    """Each once, in the order of the patterns. "(a|b|) c" stands for "a c", "b c" and "c"."""
    texts = {re.sub(" +(?=[ ,.?]|$)", "", text).lstrip(): None for p in patterns for text in _expanded(p)}
    return tuple(Paraphrase(text) for text in texts)


def of_split(known: Iterable[Paraphrase], split: Split) -> tuple[Paraphrase, ...]:
    return tuple(paraphrase for paraphrase in known if paraphrase.split == split)


def _slot_form(slot: str) -> str:
    return rf"(?P<{slot}>\w+)" if slot in _SLOTS_OF_ONE_WORD else f"(?P<{slot}>.+?)"


def _expanded(pattern: str) -> list[str]:
    group = _ALTERNATIVES.search(pattern)
    if group is None:
        return [pattern]
    before, after = pattern[: group.start()], pattern[group.end() :]
    return [text for choice in group[1].split("|") for text in _expanded(before + choice + after)]
