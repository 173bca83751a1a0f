"""A running turn: an iterator of events that ends the turn when it is left."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from stream_omni_client.errors import ServerError
from stream_omni_client.events import Done, Event
from stream_omni_client.reply import Reply
from stream_omni_client.transport import Responses


class Stream(Iterator[Event]):
    """The events of one turn, in order, ending with :class:`Done`; every other end raises a :class:`StreamOmniError`.

    Use it with ``with``: leaving the block early cancels the turn on the server. :attr:`reply` fills as events come.
    """

    def __init__(self, responses: Responses, request_id: str) -> None:
        self.request_id = request_id
        self.reply = Reply(request_id)
        self._responses = responses
        self._expected_seq = 0
        self._over = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # `for event in client.stream(...): break` leaves early too

    def __next__(self) -> Event:
        if self._over:
            raise StopIteration
        try:
            event = self._receive()
        except BaseException:
            self.close()
            raise
        self.reply.add(event)
        if isinstance(event, Done):
            self._over = True
            self._responses.drain()
        return event

    def close(self) -> None:
        """Cancel the turn if it is not over. May be called twice, and from another thread."""
        if not self._over:
            self._over = True
            self._responses.cancel()

    def _receive(self) -> Event:
        event = next(self._responses, None)
        if event is None:
            raise self._broken("the stream ended before the turn was done")
        if event.seq != self._expected_seq:
            raise self._broken(f"event {event.seq} came where event {self._expected_seq} was due")
        self._expected_seq += 1
        return event

    def _broken(self, what: str) -> ServerError:
        return ServerError(what, reason="PROTOCOL", request_id=self.request_id)
