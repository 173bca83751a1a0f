"""What an engine says of its turns, and the box in which it waits to be fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from stream_omni.runtime.session import Array

Finish = Literal["stop", "length", "error"]
FINISH_CODES: dict[Finish | None, int] = {None: 0, "stop": 1, "length": 2, "error": 3}
FINISHES = {code: finish for finish, code in FINISH_CODES.items()}


@dataclass(frozen=True)
class Event:
    """New ids of a turn, and whether it is over.

    ``counts`` is empty (text) or has one entry an id (speech); ``message`` explains an error. A turn's last event, and
    only that, has a ``finish``; its slot is free by then.
    """

    turn: int
    ids: Sequence[int] = ()
    counts: Sequence[int] = ()
    finish: Finish | None = None
    message: str = ""


@dataclass(frozen=True)
class Batch:
    """Events of several turns, at most one each, as tensors.

    ``turns`` uint64 [k], ``lens`` int32 [k], ``ids`` and ``counts`` int32 [sum of lens] (counts of text are zero),
    ``fin`` int32 [k] (:data:`FINISH_CODES`), ``messages`` k strings.
    """

    turns: Array
    lens: Array
    ids: Array
    counts: Array
    fin: Array
    messages: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.turns)

    def events(self) -> Iterator[Event]:
        """The same as events again."""
        begin = 0
        for turn, length, fin, message in zip(self.turns, self.lens, self.fin, self.messages, strict=True):
            end = begin + int(length)
            ids, counts = self.ids[begin:end].tolist(), self.counts[begin:end].tolist()
            yield Event(int(turn), ids, counts, FINISHES[int(fin)], message)
            begin = end


@dataclass
class _Pending:
    ids: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    finish: Finish | None = None
    message: str = ""


class Mailbox:
    """One owner's events since the last fetch, those of a turn joined into one. Not thread-safe: its keeper locks."""

    def __init__(self) -> None:
        self._pending: dict[int, _Pending] = {}

    def __bool__(self) -> bool:
        return bool(self._pending)

    def post(self, event: Event) -> None:
        pending = self._pending.setdefault(event.turn, _Pending())
        pending.ids.extend(event.ids)
        pending.counts.extend(event.counts or [0] * len(event.ids))
        pending.finish, pending.message = event.finish, event.message

    def discard(self, turn: int) -> None:
        """Forget what a turn has said; its owner no longer cares."""
        self._pending.pop(turn, None)

    def take(self) -> Batch:
        """Everything, leaving the box empty."""
        taken, self._pending = self._pending, {}
        values = taken.values()
        return Batch(
            turns=np.array(list(taken), np.uint64),
            lens=np.array([len(p.ids) for p in values], np.int32),
            ids=np.array([i for p in values for i in p.ids], np.int32),
            counts=np.array([c for p in values for c in p.counts], np.int32),
            fin=np.array([FINISH_CODES[p.finish] for p in values], np.int32),
            messages=tuple(p.message for p in values),
        )
