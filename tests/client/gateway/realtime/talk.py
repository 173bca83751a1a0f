"""A client's side of a session, by OpenAI's package: what is said into it, and what is waited for."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from openai import OpenAI
from openai.resources.realtime.realtime import RealtimeConnection
from openai.types.realtime import RealtimeErrorEvent
from stream_omni_client.gateway.resampling import Resampler

QUESTION = Path(__file__).parents[4] / "build" / "demo" / "media" / "question.wav"
RATE_HZ = 24_000
PATIENCE_S = 60.0


@cache
def spoken_question() -> NDArray[np.int16]:
    """int16 [N] at 24 kHz: "What colour is the circle on the left?", 2.2 s."""
    samples, rate_hz = soundfile.read(QUESTION, dtype="int16")
    return Resampler(rate_hz, RATE_HZ).add(samples)


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def encoded(samples: NDArray[np.int16]) -> str:
    return base64.b64encode(samples.tobytes()).decode()


def decoded(delta: str) -> NDArray[np.int16]:
    return np.frombuffer(base64.b64decode(delta), "<i2")


class Talk:
    """``events`` are all that came so far, in order."""

    def __init__(self, connection: RealtimeConnection) -> None:
        self.connection = connection
        self.events: list[Any] = []

    def receive(self) -> Any:
        event = self.connection.recv()
        self.events.append(event)
        return event

    def until(self, kind: str) -> Any:
        """The next event of this type."""
        while (event := self.receive()).type != kind:
            pass
        return event

    def all(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.type == kind]

    def kinds(self) -> list[str]:
        """In order, the same in a row once."""
        kinds = [event.type for event in self.events]
        return [kind for n, kind in enumerate(kinds) if n == 0 or kind != kinds[n - 1]]

    def update(self, **session: Any) -> Any:
        self.connection.session.update(session={"type": "realtime", **session})
        return self.until("session.updated").session

    def say(self, samples: NDArray[np.int16]) -> None:
        """In pieces of 0.1 s."""
        for begin in range(0, len(samples), RATE_HZ // 10):
            self.connection.input_audio_buffer.append(audio=encoded(samples[begin : begin + RATE_HZ // 10]))

    def write(self, text: str, **response: Any) -> None:
        """A written question, and the wish for its answer."""
        content: Any = [{"type": "input_text", "text": text}]
        self.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        self.connection.response.create(response=response or {})  # type: ignore[arg-type]

    def text(self) -> str:
        """Of the last answer, as its deltas told it."""
        last = self.all("response.created")[-1].response.id
        return "".join(
            event.delta
            for event in self.events
            if event.type in ("response.output_text.delta", "response.output_audio_transcript.delta")
            and event.response_id == last
        )


@contextmanager
def talk(client: OpenAI, **query: str) -> Iterator[Talk]:
    """A session, which is broken off when it takes too long: recv() itself waits for ever."""
    with client.realtime.connect(model="stream-omni", extra_query=dict(query)) as connection:
        watch = threading.Timer(PATIENCE_S, connection.close)
        watch.start()
        try:
            session = Talk(connection)
            assert session.receive().type == "session.created"
            yield session
        finally:
            watch.cancel()


def refusal(session: Talk) -> Any:
    error = session.until("error")
    assert isinstance(error, RealtimeErrorEvent)
    return error.error


def still_answers(session: Talk) -> bool:
    session.write("hello", output_modalities=["text"])
    return bool(session.until("response.done").response.status == "completed")
