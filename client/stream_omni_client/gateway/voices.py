"""The ``voice`` of a request: a name of the server's, or OpenAI's object with an id."""

from __future__ import annotations

from stream_omni_client.gateway.fields import Fields


def read_voice(fields: Fields) -> str | None:
    """None: the server's own. Raises ApiError."""
    if isinstance(fields.raw("voice"), dict):
        voice = fields.fields("voice")
        return voice.needed_text("id") if voice else None
    return fields.text("voice")
