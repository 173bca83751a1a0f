"""The items of a session in their order, and the question that they put to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.gateway.api_errors import ApiError, invalid
from stream_omni_client.gateway.realtime.items import Item, Speech, new_id

_ROOT = "root"


@dataclass(frozen=True, eq=False)
class Question:
    """One turn of the served model. Exactly one of ``text`` and ``speech`` is there; ``history`` is oldest first."""

    text: str | None
    speech: Speech | None
    pictures: list[bytes]
    history: list[dict[str, str]]
    system: str | None
    item: Item

    @property
    def samples(self) -> NDArray[np.int16] | None:
        return None if self.speech is None else self.speech.samples


@dataclass
class Conversation:
    """At most ``max_items`` messages; the oldest make room."""

    max_items: int
    items: list[Item] = field(default_factory=list)
    id: str = field(default_factory=lambda: new_id("conv"))

    def find(self, item_id: str, param: str = "item_id") -> Item:
        """Raises ApiError where there is no such item."""
        for item in self.items:
            if item.id == item_id:
                return item
        raise invalid(f"there is no item {item_id[:64]!r} in the conversation", param, "item_not_found")

    def before(self, item: Item) -> str | None:
        """The id of the item that precedes it."""
        place = self.items.index(item)
        return self.items[place - 1].id if place else None

    def add(self, item: Item, previous_item_id: str | None = None) -> None:
        """At the end, or behind the given item (``root``: at the beginning). Raises ApiError."""
        if any(item.id == other.id for other in self.items):
            raise invalid(f"there is an item {item.id[:64]!r} already; take another id", "item.id", "item_id_taken")
        place = len(self.items)
        if previous_item_id == _ROOT:
            place = 0
        elif previous_item_id is not None:
            place = self.items.index(self.find(previous_item_id, "previous_item_id")) + 1
        self.items.insert(place, item)
        if len(self.items) > self.max_items:
            self.items.pop(1 if place == 0 else 0)

    def remove(self, item_id: str) -> None:
        """Raises ApiError."""
        self.items.remove(self.find(item_id))

    def last_answer(self) -> Item | None:
        return next((item for item in reversed(self.items) if item.role == "assistant"), None)

    def forget_what_is_used(self, max_pictures: int) -> None:
        """Let go of sound whose transcript is known, and of pictures that no later question will show again."""
        shown = 0
        for item in reversed(self.items):
            speech = item.speech
            if speech is not None and speech.settled.is_set() and speech.transcript is not None:
                speech.samples = None
            for picture in reversed(item.pictures):
                if picture.encoded is not None:
                    shown += 1
                    if shown > max_pictures:
                        picture.encoded = None


def ask(items: Sequence[Item], instructions: str | None, max_pictures: int) -> Question:
    """The question that a conversation ends with: the user's last message that has words, written or spoken.

    What was said before is history: spoken words by their transcripts, the assistant's as far as they were heard. The
    model looks at the pictures that came with the question since the last answer; where none did, at those shown
    last. Raises ApiError where there is nothing to answer.
    """
    told = [item for item in items if _is_telling(item)]
    place = next((n for n in reversed(range(len(told))) if told[n].role == "assistant"), -1)
    current = [item for item in told[place + 1 :] if item.role == "user"]
    asked = next((item for item in reversed(current) if item.speech or item.written), None)
    if asked is None:
        what = "a picture needs words with it" if current else "there is nothing to answer"
        raise _nothing(f"{what}; add a user message, or commit audio, first")
    history = [turn for item in told if item is not asked for turn in _turns(item)]
    spoken = asked.speech if asked.speech is not None and asked.speech.samples is not None else None
    if spoken is not None and asked.written:
        history.append({"role": "user", "text": asked.written})
    text = None if spoken is not None else asked.written or (asked.speech.transcript if asked.speech else None)
    if spoken is None and not text:
        raise _nothing("the last user message has no words that could be understood; ask again")
    system = [instructions or "", *(item.written for item in items if item.role == "system")]
    return Question(
        text=text,
        speech=spoken,
        pictures=_pictures(told)[:max_pictures],
        history=history,
        system="\n\n".join(part for part in system if part) or None,
        item=asked,
    )


def _nothing(message: str) -> ApiError:
    return invalid(message, None, "nothing_to_answer")


def _is_telling(item: Item) -> bool:
    """An answer of which nothing was heard never happened."""
    if item.answer is not None:
        return bool(item.answer.heard.strip())
    return bool(item.content)


def _turns(item: Item) -> list[dict[str, str]]:
    """An item as history."""
    if item.role == "system":
        return []
    said = item.written
    if item.answer is not None:
        said = item.answer.heard
    elif item.speech is not None:
        said = "\n".join(part for part in (said, item.speech.transcript or "") if part.strip())
    return [{"role": item.role, "text": said}] if said.strip() else []


def _pictures(told: Sequence[Item]) -> list[bytes]:
    """Those between the last two answers that have any between them."""
    pictures: list[bytes] = []
    end = len(told)
    while not pictures and end > 0:
        answer = next((n for n in reversed(range(end)) if told[n].role == "assistant"), -1)
        pictures = [
            picture.encoded
            for item in told[answer + 1 : end]
            for picture in item.pictures
            if picture.encoded is not None
        ]
        end = answer
    return pictures
