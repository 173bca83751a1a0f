"""The text that a turn speaks: ids as they arrive, and the few of them that the speech stacks see at a time."""

from __future__ import annotations

from collections.abc import Sequence

from stream_omni.graphs import TEXT_LAG, WINDOW_TOKENS
from stream_omni.runtime.session import Array


class SpokenText:
    """The queue of speakable ids, moved on by ``advance()`` of algorithm.md a.5.

    Ids arrive with :meth:`append` whenever the LLM has made them, in any split, and are consumed only when the
    algorithm asks for one; so the same ids give the same speech however they came. ``speakable`` is a bool mask over
    the text ids, ``blank`` the CTC blank. ``from_text`` selects the text-to-speech rules, which differ in when the text
    is over.
    """

    def __init__(self, speakable: Array, eot: int, blank: int, from_text: bool) -> None:
        self._speakable = speakable
        self._eot, self._blank, self._from_text = eot, blank, from_text
        self._ids: list[int] = []
        self._final = False
        self._goal = 0
        self.queued: list[int] = []
        self.consumed = 0

    def append(self, ids: Sequence[int], final: bool) -> None:
        """More text ids, in order; ``final``: no more will come. Raises ValueError for an id that is no text id."""
        for text_id in ids:
            if not 0 <= text_id < len(self._speakable):
                raise ValueError(f"text id {text_id} is outside the text vocabulary of {len(self._speakable)} ids")
        self._ids.extend(ids)
        self._final |= final

    def advance(self) -> None:
        """Ask for the next speakable id, the first time for :data:`TEXT_LAG` of them."""
        self._goal = max(TEXT_LAG, len(self.queued) + 1)
        if self._from_text and self.queued and self.queued[-1] in (self._eot, self._blank):
            self._goal = len(self.queued)

    def ready(self) -> bool:
        """Consume what has arrived towards the goal. False when an id is still to come: call again after an append."""
        while len(self.queued) < self._goal and not self._over():
            if self.consumed == len(self._ids):
                return self._final
            text_id = self._ids[self.consumed]
            self.consumed += 1
            if self._speakable[text_id]:
                self.queued.append(text_id)
        return True

    def _over(self) -> bool:
        if not self.queued:
            return False
        last = self.queued[-1] if self._from_text else self._ids[self.consumed - 1]
        return last == self._eot

    def window(self) -> tuple[list[int], list[int]]:
        """The last :data:`WINDOW_TOKENS` queued ids at the most, and their positions in the queue."""
        begin = max(0, len(self.queued) - WINDOW_TOKENS)
        return self.queued[begin:], list(range(begin, len(self.queued)))
