"""Talk to a served Stream-Omni: text, speech and pictures in; transcript, text and speech out, as a stream.

>>> from stream_omni_client import StreamOmni
>>> with StreamOmni("localhost:8001") as client:  # doctest: +SKIP
...     reply = client.chat(audio="question.wav", image="photo.jpg", output="speech")
...     print(reply.transcript, reply.text)
...     reply.audio.save("answer.wav")
"""

from __future__ import annotations

from stream_omni_client.access import Tls
from stream_omni_client.async_client import AsyncStreamOmni
from stream_omni_client.async_conversation import AsyncConversation
from stream_omni_client.audio import Audio
from stream_omni_client.client import StreamOmni
from stream_omni_client.conversation import Conversation
from stream_omni_client.errors import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerError,
    StreamOmniError,
    Unauthenticated,
)
from stream_omni_client.events import AudioDelta, Done, Event, Mark, TextDelta, Timings, TranscriptDelta
from stream_omni_client.reply import Reply
from stream_omni_client.turn import TurnOptions

__all__ = [
    "AsyncConversation",
    "AsyncStreamOmni",
    "Audio",
    "AudioDelta",
    "Cancelled",
    "ConnectionFailed",
    "Conversation",
    "DeadlineExceeded",
    "Done",
    "Event",
    "InvalidRequest",
    "Mark",
    "Overloaded",
    "Reply",
    "ServerError",
    "StreamOmni",
    "StreamOmniError",
    "TextDelta",
    "Timings",
    "Tls",
    "TranscriptDelta",
    "TurnOptions",
    "Unauthenticated",
]
