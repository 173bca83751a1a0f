"""What a client is told when it is made, and the turns that it makes of arguments: the same for both twins."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stream_omni_client.access import Tls, choose_metadata, choose_tls
from stream_omni_client.audio import AudioInput
from stream_omni_client.errors import InvalidRequest, StreamOmniError
from stream_omni_client.image import ImageInput
from stream_omni_client.trace_context import choose_traceparent
from stream_omni_client.turn import Output, Task, TurnOptions, turn_inputs

if TYPE_CHECKING:
    from stream_omni_client.running_turn import RunningTurn

URL = "STREAM_OMNI_URL"
DEFAULT_URL = "localhost:8001"
MANAGEMENT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds: for the first event, between two events, for the whole turn (None: no limit). And
    how often a turn that brought nothing is asked again."""

    first_event_s: float
    idle_s: float
    turn_s: float | None
    retries: int


@dataclass(frozen=True)
class Settings:
    """Of a client; ``metadata`` goes with each call."""

    url: str
    tls: Tls | None
    metadata: tuple[tuple[str, str], ...]
    first_event_timeout_s: float
    idle_timeout_s: float
    max_retries: int

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
        try:
            inputs = turn_inputs(text, audio, image, output, task, options)
            request = turn_request(request_id, inputs, self.metadata, choose_traceparent(traceparent))
        except StreamOmniError as error:
            error.request_id = request_id
            raise
        limits = Limits(self.first_event_timeout_s, self.idle_timeout_s, timeout_s, self.max_retries)
        return RunningTurn(self.url, request, limits, is_spoken=output == "speech")

    def probing_turn(self, timeout_s: float) -> RunningTurn:
        """The smallest turn there is, asked once."""
        return replace(self, max_retries=0).turn("answer", "Hi", None, None, "text", timeout_s, None, {"max_tokens": 1})


def choose_settings(
    url: str | None,
    api_key: str | None,
    tls: Tls | bool | None,
    first_event_timeout_s: float,
    idle_timeout_s: float,
    max_retries: int,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """What is None, the environment says. Raises :class:`InvalidRequest` for what can be no server and no key."""
    url = url or environment.get(URL) or DEFAULT_URL
    if "://" in url or ":" not in url:
        raise InvalidRequest(f"the url {url!r} is no gRPC endpoint: give host:port, such as {DEFAULT_URL}")
    tls, metadata = choose_tls(tls, environment), choose_metadata(api_key, environment)
    return Settings(url, tls, metadata, first_event_timeout_s, idle_timeout_s, max_retries)
