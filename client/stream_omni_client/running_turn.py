"""A turn that runs, without its input and output: what both kinds of stream drive with the responses that they get."""

from __future__ import annotations

import time

import grpc
from tritonclient.grpc import service_pb2

from stream_omni_client.errors import Cancelled, DeadlineExceeded, ServerError, StreamOmniError, error_of
from stream_omni_client.events import Done, Event
from stream_omni_client.grpc_channel import failure_of
from stream_omni_client.reply import Reply
from stream_omni_client.retry import pause_before_retry_s
from stream_omni_client.settings import Limits
from stream_omni_client.wire import TurnRequest, decode_event


class RunningTurn:
    """Knows how long to wait, what each response means, which error each bad end is, and whether to try again.

    ``reply`` fills as responses are taken. ``has_last`` once the server has said its last word, after which it ends the
    stream by itself; ``is_left`` once the caller has.
    """

    def __init__(self, url: str, request: TurnRequest, limits: Limits, is_spoken: bool) -> None:
        self.request, self.limits = request, limits
        self.reply = Reply(request.request_id, is_spoken)
        self.has_last = self.is_left = False
        self._url = url
        self._began = self._try_began = time.monotonic()
        self._tries = 0
        self._next_seq = 0

    @property
    def is_over(self) -> bool:
        """No event is to be expected any more."""
        return self.has_last or self.is_left

    @property
    def patience_s(self) -> float:
        """How long the next response may take."""
        if self._next_seq:
            return self.limits.idle_s
        return max(0.0, self.limits.first_event_s - (self._try_began - self._began))

    def begin_try(self) -> float | None:
        """It is sent (again). Returns how long the call may take."""
        self._try_began = time.monotonic()
        self._tries += 1
        return self._time_left_s()

    def plan_retry(self, error: StreamOmniError) -> float | None:
        """How long to wait until it is sent again, which it then must be; None: it ended with ``error`` for good."""
        if self._next_seq or self.is_left or self._tries > self.limits.retries:
            return None
        pause_s, turn_left_s = pause_before_retry_s(error, self._tries), self._time_left_s()
        left_s = self.limits.first_event_s - self._elapsed_s()
        if pause_s is None or pause_s >= (left_s if turn_left_s is None else min(left_s, turn_left_s)):
            return None
        self.has_last = False
        return pause_s

    def take(self, response: service_pb2.ModelStreamInferResponse, arrived: float) -> Event:
        """The event, which arrived at that time of ``time.monotonic``. Raises :class:`StreamOmniError` for any other
        response."""
        if response.error_message:
            self.has_last = True
            raise error_of(response.error_message, request_id=self.request.request_id)
        event = decode_event(response.infer_response, arrived - self._began, self.request.request_id)
        if event.seq != self._next_seq:
            raise self._broken(f"event {event.seq} came where event {self._next_seq} was due")
        self._next_seq += 1
        self.reply.add(event)
        self.has_last = isinstance(event, Done)
        return event

    def ended(self) -> ServerError:
        """The server ended the stream, before it had said its last word."""
        return self._broken("the stream ended before the turn was done")

    def silence(self) -> DeadlineExceeded:
        """Nothing came for :attr:`patience_s`."""
        if self._next_seq:
            what = f"nothing more came for {self.limits.idle_s:g} s (idle_timeout_s)"
        else:
            what = f"nothing came within {self.limits.first_event_s:g} s (first_event_timeout_s)"
        message = f"{self._url}: {what}; the turn was cancelled"
        return DeadlineExceeded(message, reason="SILENCE", request_id=self.request.request_id)

    def failure(self, error: grpc.RpcError) -> StreamOmniError:
        """The call failed."""
        return failure_of(error, self._url, self.request.request_id, self.limits.turn_s)

    def cancelled(self) -> Cancelled:
        """The stream, or the whole client, was closed while somebody waited for the next event."""
        message = "the turn was cancelled by this client"
        return Cancelled(message, reason="CANCELLED", request_id=self.request.request_id)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def _time_left_s(self) -> float | None:
        return None if self.limits.turn_s is None else max(0.0, self.limits.turn_s - self._elapsed_s())

    def _broken(self, what: str) -> ServerError:
        return ServerError(what, reason="PROTOCOL", request_id=self.request.request_id)
