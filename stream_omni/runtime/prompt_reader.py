"""Prompts on their way into an engine's caches: whose chunk is next, and which beginnings are there already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from stream_omni.runtime.prefill import CHUNK_TOKENS, chunk_end
from stream_omni.runtime.prefixes import Content, Prefixes
from stream_omni.runtime.slots import KeyValueCaches


@dataclass(frozen=True, eq=False)
class Reading:
    """A prompt of ``length`` positions, of which the first ``shared`` follow from ``content``; ``due``: see below."""

    length: int
    shared: int
    content: Content
    due: int


class Reader(Protocol):
    row: int
    reading: Reading


R = TypeVar("R", bound=Reader)


class PromptReader:
    """Over one set of caches; ``prefix_bytes`` bound what is remembered of shared beginnings.

    The next chunk is of the prompt which is due first: when it would have been read to its end, had it been alone since
    it came, on a clock that counts the tokens read. So a short question passes a long picture prompt instead of waiting
    for all of it, equal prompts are read one after the other in the order in which they came (taking turns would only
    make the first ones late), and none waits for ever: who comes after a prompt was due does not pass it. There is
    nothing to tune, and what a turn computes does not depend on it.
    """

    def __init__(self, caches: KeyValueCaches, prefix_bytes: int, chunk_tokens: int = CHUNK_TOKENS) -> None:
        self._caches, self._prefixes, self._chunk_tokens = caches, Prefixes(prefix_bytes), chunk_tokens
        self._read_tokens = 0

    def take(self, length: int, shared: int, content: Content) -> Reading:
        """A prompt that comes now."""
        return Reading(length, shared, content, self._read_tokens + length)

    def next(self, readers: Iterable[R]) -> R:
        return min(readers, key=lambda reader: reader.reading.due)  # of equal ones the first

    def restore(self, reader: Reader) -> bool:
        """Copy the shared beginning of a prompt, none of which has been read, if it is remembered."""
        if self._caches.lengths[reader.row] or not reader.reading.shared:
            return False
        found = self._prefixes.find(reader.reading.content)
        if found:
            self._caches.adopt(reader.row, *found)
        return bool(found)

    def chunk(self, reader: Reader) -> tuple[int, int]:
        """[begin, end) of the positions to be read next."""
        begin = int(self._caches.lengths[reader.row])
        return begin, chunk_end(begin, reader.reading.length, self._chunk_tokens)

    def advance(self, reader: Reader, end: int) -> None:
        """The positions up to ``end`` have been read into the caches."""
        reading, begin = reader.reading, int(self._caches.lengths[reader.row])
        self._caches.lengths[reader.row] = end
        self._read_tokens += end - begin
        if begin < reading.shared <= end:
            self._prefixes.keep(reading.content, [self._caches.stored(reader.row, reading.shared)])
