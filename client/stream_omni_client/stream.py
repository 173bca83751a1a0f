"""A running turn: an iterator of events that ends the turn when it is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

import grpc

from stream_omni_client.connection import Connection, LeftError
from stream_omni_client.errors import Cancelled, StreamOmniError
from stream_omni_client.events import AudioDelta, Event
from stream_omni_client.reply import Reply
from stream_omni_client.running_turn import RunningTurn

Piece = TypeVar("Piece", str, AudioDelta)


class Stream(Iterator[Event]):
    """The events of one turn, in order, ending with :class:`Done`; every other end raises a :class:`StreamOmniError`.

    Use it with ``with``: leaving the block early cancels the turn on the server. :attr:`reply` fills as events come.
    Who wants one kind only iterates over :attr:`transcript`, :attr:`text` or :attr:`audio` instead; each of them begins
    at the turn's beginning, whatever has been read before.
    """

    def __init__(self, connection: Connection, turn: RunningTurn) -> None:
        self._turn, self._connection = turn, connection
        self._left = threading.Event()
        self._call = connection.start(turn)

    @property
    def request_id(self) -> str:
        """Names the turn in the server's logs."""
        return self._turn.request.request_id

    @property
    def reply(self) -> Reply:
        """What the turn has brought so far."""
        return self._turn.reply

    @property
    def is_over(self) -> bool:
        """Whether no event is to come any more."""
        return self._turn.is_over

    @property
    def transcript(self) -> Iterator[str]:
        """The pieces of what the user said; it ends when the answer begins."""
        reply = self.reply
        return self._pieces(reply.transcript_deltas, until=(reply.text_deltas, reply.audio_deltas))

    @property
    def text(self) -> Iterator[str]:
        """The pieces of the answer's text."""
        return self._pieces(self.reply.text_deltas)

    @property
    def audio(self) -> Iterator[AudioDelta]:
        """The pieces of the answer's speech."""
        return self._pieces(self.reply.audio_deltas)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_call"):
            self.close()  # `for event in client.stream(...): break` leaves early too

    def __next__(self) -> Event:
        if self._turn.is_over:
            raise StopIteration
        try:
            return self._receive()
        except BaseException as error:
            self.close()
            if isinstance(error, Cancelled) and self.reply.heard_ms is not None:
                raise StopIteration from None  # the listener has heard enough
            raise

    def finish(self) -> Reply:
        """Wait for the rest, and return the whole."""
        with self:
            for _ in self:
                pass
            return self.reply

    def close(self) -> None:
        """Cancel the turn if it is not over. May be called twice, and from another thread."""
        if not self._turn.is_over:
            self._turn.is_left = True
            self._left.set()
            self._call.leave()

    def _receive(self) -> Event:
        while True:
            try:
                return self._receive_once()
            except StreamOmniError as error:
                pause_s = self._turn.plan_retry(error)
                if pause_s is None:
                    raise
            if self._left.wait(pause_s):
                raise self._turn.cancelled()
            self._call = self._connection.start(self._turn)

    def _receive_once(self) -> Event:
        try:
            arrival = self._call.read(self._turn.patience_s)
        except TimeoutError:
            raise self._turn.silence() from None
        except LeftError:
            raise self._turn.cancelled() from None
        except grpc.RpcError as error:
            raise self._turn.failure(error) from error
        if arrival is None:
            raise self._turn.ended()
        try:
            return self._turn.take(*arrival)
        finally:
            if self._turn.has_last:
                self._call.drain()

    def _pieces(self, pieces: list[Piece], until: tuple[list[str], list[AudioDelta]] = ([], [])) -> Iterator[Piece]:
        seen = 0
        while True:
            while seen < len(pieces):
                seen += 1
                yield pieces[seen - 1]
            if any(until) or next(self, None) is None:
                return
