"""A running turn: an iterator of events that ends the turn when it is left."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import grpc

from stream_omni_client.connection import Connection
from stream_omni_client.events import Event
from stream_omni_client.reply import Reply
from stream_omni_client.running_turn import RunningTurn


class Stream(Iterator[Event]):
    """The events of one turn, in order, ending with :class:`Done`; every other end raises a :class:`StreamOmniError`.

    Use it with ``with``: leaving the block early cancels the turn on the server. :attr:`reply` fills as events come.
    """

    def __init__(self, connection: Connection, turn: RunningTurn) -> None:
        self._turn = turn
        self._call = connection.start(turn)

    @property
    def request_id(self) -> str:
        """Names the turn in the server's logs."""
        return self._turn.request.request_id

    @property
    def reply(self) -> Reply:
        """What the turn has brought so far."""
        return self._turn.reply

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
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Cancel the turn if it is not over. May be called twice, and from another thread."""
        if not self._turn.is_over:
            self._turn.is_over = True
            self._call.cancel()

    def _receive(self) -> Event:
        try:
            arrival = self._call.read(self._turn.patience_s)
        except TimeoutError:
            raise self._turn.silence() from None
        except grpc.RpcError as error:
            raise self._turn.failure(error) from error
        if arrival is None:
            raise self._turn.ended()
        try:
            return self._turn.take(*arrival)
        finally:
            if self._turn.is_over:
                self._call.drain()
