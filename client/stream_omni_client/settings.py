"""What a client is told when it is made, and the turns that it makes of arguments: the same for both twins."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_omni_client.access import Tls, choose_metadata, choose_tls
from stream_omni_client.audio import AudioInput
from stream_omni_client.errors import InvalidRequest
from stream_omni_client.image import ImageInput
from stream_omni_client.trace_context import choose_traceparent
from stream_omni_client.turn import Output, Task, TurnOptions, turn_inputs

if TYPE_CHECKING:
    from stream_omni_client.running_turn import RunningTurn

MANAGEMENT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds: for the first event, between two events, for the whole turn (None: no limit)."""

    first_event_s: float
    idle_s: float
    turn_s: float | None


class Settings:
    """Raises :class:`InvalidRequest` for what can be no server and no key."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        tls: Tls | bool | None,
        first_event_timeout_s: float,
        idle_timeout_s: float,
    ) -> None:
        if "://" in url or ":" not in url:
            raise InvalidRequest(f"the url {url!r} is no gRPC endpoint: give host:port, such as localhost:8001")
        self.url = url
        self.tls = choose_tls(tls)
        self.metadata = choose_metadata(api_key)  # goes with each call
        self._first_event_timeout_s, self._idle_timeout_s = first_event_timeout_s, idle_timeout_s

    def turn(
        self,
        task: Task,
        text: str | None,
        audio: AudioInput | None,
        image: ImageInput | None,
        output: Output,
        timeout_s: float | None,
        traceparent: str | None,
        options: TurnOptions,
    ) -> RunningTurn:
        """A turn that has yet to be sent. Raises :class:`InvalidRequest`, and OSError for a file."""
        from stream_omni_client.running_turn import RunningTurn  # not at the top: gRPC is half of the import's time
        from stream_omni_client.wire import turn_request

        request_id = secrets.token_hex(8)
        inputs = turn_inputs(text, audio, image, output, task, options)
        request = turn_request(request_id, inputs, self.metadata, choose_traceparent(traceparent))
        return RunningTurn(self.url, request, Limits(self._first_event_timeout_s, self._idle_timeout_s, timeout_s))
