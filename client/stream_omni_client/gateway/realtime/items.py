"""What a conversation is made of: messages with words, sound and pictures."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.events import Mark
from stream_omni_client.gateway.realtime.voice_activity import RATE_HZ

Role: TypeAlias = Literal["user", "assistant", "system"]


@dataclass
class Words:
    """Written by the client."""

    text: str

    def describe(self, role: Role) -> dict[str, Any]:
        return {"type": "output_text" if role == "assistant" else "input_text", "text": self.text}


@dataclass
class Picture:
    """``encoded``: the file's bytes; None when no later turn will see it again."""

    encoded: bytes | None

    def describe(self, role: Role) -> dict[str, Any]:
        return {"type": "input_image"}


@dataclass(eq=False)
class Speech:
    """What the user said. ``samples``: int16 [N] at 16 kHz, None once they are no longer needed. ``settled``
    is set once the transcript is whole, or will never be (then it is None)."""

    samples: NDArray[np.int16] | None
    transcript: str | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def duration_s(self) -> float:
        return 0.0 if self.samples is None else len(self.samples) / RATE_HZ

    def describe(self, role: Role) -> dict[str, Any]:
        return {"type": "input_audio", "transcript": self.transcript}


@dataclass
class Answer:
    """What the assistant said, as far as it was sent. ``heard_ms``: how much of its sound can have been heard; None is
    all of it."""

    is_spoken: bool
    text: str = ""
    marks: list[Mark] = field(default_factory=list)
    sound_ms: int = 0
    heard_ms: int | None = None
    first_sound_s: float | None = None  # when it left, of time.monotonic

    @property
    def heard(self) -> str:
        """The text as far as its speech was heard."""
        if not self.is_spoken or self.heard_ms is None:
            return self.text
        return self.text[: heard_characters(self.marks, self.heard_ms)]

    def bound_heard(self, now_s: float, is_whole: bool) -> None:
        """Whatever the client plays, it cannot have played more than the time since the first sound left.

        ``is_whole``: all of the answer's sound was sent, not only what its text had come to.
        """
        if not self.is_spoken or self.heard_ms is not None:
            return
        elapsed_ms = 0 if self.first_sound_s is None else int((now_s - self.first_sound_s) * 1000)
        if elapsed_ms < self.sound_ms or not is_whole:
            self.heard_ms = min(elapsed_ms, self.sound_ms)

    def describe(self, role: Role) -> dict[str, Any]:
        if self.is_spoken:
            return {"type": "output_audio", "transcript": self.heard}
        return {"type": "output_text", "text": self.text}


Part: TypeAlias = Words | Picture | Speech | Answer


@dataclass(eq=False)
class Item:
    """A message of the conversation."""

    role: Role
    content: Sequence[Part]
    id: str = field(default_factory=lambda: new_id("item"))
    status: Literal["completed", "incomplete", "in_progress"] = "completed"

    @property
    def speech(self) -> Speech | None:
        """A message has one at the most."""
        return next((part for part in self.content if isinstance(part, Speech)), None)

    @property
    def answer(self) -> Answer | None:
        return next((part for part in self.content if isinstance(part, Answer)), None)

    @property
    def pictures(self) -> list[Picture]:
        return [part for part in self.content if isinstance(part, Picture)]

    @property
    def written(self) -> str:
        """The written parts, one a line."""
        return "\n".join(part.text for part in self.content if isinstance(part, Words) and part.text.strip())

    def describe(self, with_content: bool = True) -> dict[str, Any]:
        """As events show it: without sound and pictures themselves."""
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role,
            "content": [part.describe(self.role) for part in self.content] if with_content else [],
        }


def heard_characters(marks: Sequence[Mark], heard_ms: int) -> int:
    """How many characters of the answer's text have begun to be spoken before ``heard_ms``."""
    return max((mark.text_end for mark in marks if mark.start_ms < heard_ms), default=0)


def new_id(kind: str) -> str:
    """For items, responses, events and sessions, such as ``item_3f...``."""
    return f"{kind}_{secrets.token_hex(10)}"
