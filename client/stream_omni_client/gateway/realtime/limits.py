"""What one session may bring, and how long it may last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RealtimeLimits:
    """The gateway's own."""

    max_sessions: int = 64  # at once; each keeps a network for speech (10 MB) and a conversation
    max_message_bytes: int = 16_000_000  # of one event; a picture in base64 takes a third more than it is
    max_items: int = 400  # of a conversation, then the oldest make room; the server's own limit of history is 200 turns
    idle_timeout_s: float = 600.0  # without an event of the client
    session_timeout_s: float = 3600.0  # as OpenAI's
    max_unsent_bytes: int = 4_000_000  # of events that the client has not fetched; then its answer waits
    send_timeout_s: float = 30.0  # for one event to be fetched; then the connection is given up


@dataclass(frozen=True)
class QuestionLimits:
    """The server's own, of one turn, as far as a session must know them before it asks."""

    min_audio_ms: int
    max_audio_ms: int
    max_pictures: int
    max_picture_bytes: int
    max_text_characters: int
    max_history_turns: int

    @staticmethod
    def of(info: Mapping[str, Any]) -> QuestionLimits:
        """Of what the served model says of itself. Raises KeyError where it does not say them."""
        limits = info["limits"]
        return QuestionLimits(
            limits["min_audio_in_ms"],
            limits["max_audio_in_ms"],
            limits["max_pictures"],
            limits["max_picture_bytes"],
            limits["max_text_characters"],
            limits["max_history_turns"],
        )
