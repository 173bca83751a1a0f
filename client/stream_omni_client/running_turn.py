"""A turn that runs, without its input and output: what both kinds of stream drive with the responses that they get."""

from __future__ import annotations

import time

import grpc
from tritonclient.grpc import service_pb2

from stream_omni_client.errors import Cancelled, DeadlineExceeded, ServerError, StreamOmniError, error_of
from stream_omni_client.events import Done, Event
from stream_omni_client.grpc_channel import failure_of
from stream_omni_client.reply import Reply
from stream_omni_client.settings import Limits
from stream_omni_client.wire import TurnRequest, decode_event


class RunningTurn:
    """Knows how long to wait, what each response means, and which error each bad end is.

    ``reply`` fills as responses are taken. ``is_over`` once the server has said its last word, after which it ends the
    stream by itself, or the turn was left.
    """

    def __init__(self, url: str, request: TurnRequest, limits: Limits) -> None:
        self.request, self.limits = request, limits
        self.reply = Reply(request.request_id)
        self.is_over = False
        self._url = url
        self._began = time.monotonic()
        self._next_seq = 0

    @property
    def patience_s(self) -> float:
        """How long the next response may take."""
        return self.limits.idle_s if self._next_seq else self.limits.first_event_s

    def take(self, response: service_pb2.ModelStreamInferResponse, arrived: float) -> Event:
        """The event, which arrived at that time of ``time.monotonic``. Raises :class:`StreamOmniError` for any other
        response."""
        if response.error_message:
            self.is_over = True
            raise error_of(response.error_message, request_id=self.request.request_id)
        event = decode_event(response.infer_response, arrived - self._began)
        if event.seq != self._next_seq:
            raise self._broken(f"event {event.seq} came where event {self._next_seq} was due")
        self._next_seq += 1
        self.reply.add(event)
        if isinstance(event, Done):
            self.is_over = True
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
        return Cancelled(
            "the turn was cancelled by this client", reason="CANCELLED", request_id=self.request.request_id
        )

    def _broken(self, what: str) -> ServerError:
        return ServerError(what, reason="PROTOCOL", request_id=self.request.request_id)
